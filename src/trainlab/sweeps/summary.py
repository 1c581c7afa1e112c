"""What a sweep ends with: the table, what failed, where it lies and how to go on."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from trainlab.analysis import compare
from trainlab.analysis.tables import comparison_listing
from trainlab.config.command import simplest, train, trainlab
from trainlab.errors import RequestError
from trainlab.runs import load_runs
from trainlab.runs.record import RunFolder
from trainlab.runs.result import RECORDED
from trainlab.sweeps.outcome import Outcome, recorded
from trainlab.sweeps.plan import Job, Plan
from trainlab.sweeps.savings import savings

MOST_ROWS = 40
_ORDER = (*RECORDED, "unstarted")
MOST_FAILURES = 20
MOST_WARNINGS = 5


def outcomes_of_all(plan: Plan, ended: Sequence[Outcome]) -> list[Outcome]:
    """The outcome of every run of the plan: of this sweep's own, and of those that had nothing to do."""
    todo = {job.run_id for job in plan.todo}
    return [*ended, *(_as_planned(plan, job) for job in plan.jobs if job.run_id not in todo)]


def _as_planned(plan: Plan, job: Job) -> Outcome:
    outcome = Outcome(job.run_id, job.label, job.status, reused=True)
    if job.status != "failed":
        return outcome
    return recorded(job, RunFolder(plan.runs / job.run_id), reused=True) or outcome  # with its cause


def show(plan: Plan, outcomes: Sequence[Outcome], console: Console, pruned_by: str = "none") -> None:
    """Prints the summary; `trainlab compare GROUP` prints the same table later."""
    notes = _show_table(plan, console)
    _show_failures(outcomes, console)
    if pruned_by != "none":  # a look at every record: only where somebody asked
        for line in savings(plan).lines():
            console.print(line, highlight=False)
    counts = Counter(outcome.status for outcome in outcomes)
    line = ", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status])
    console.print(line, style="bold", highlight=False)
    _show_warnings(outcomes, console)
    for note in [f"runs: {plan.runs}", *notes]:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    if counts["interrupted"] or counts["unstarted"]:
        console.print("to continue: the same command again; nothing finished is run twice")
    if counts["failed"]:
        console.print("to run the failed ones again: the same command with sweep.retry_failed=true")


def _show_table(plan: Plan, console: Console) -> list[str]:
    """Prints the settings, best first; what to do with them next."""
    try:
        comparison = compare(load_runs(plan.runs, plan.run_ids, settings=True))
    except RequestError:
        return []  # no run has a test accuracy yet: what failed says why
    shown = comparison_listing(comparison, console.width, plan.group, most=MOST_ROWS)
    console.print(shown.table)
    for note in shown.notes:
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=True)
    again = trainlab("compare", plan.group, runs=plan.runs)
    if comparison.has_single_seeds:
        return [f"compare: {again}", f"one seed each: no intervals; with three: {with_more_seeds(plan)}"]
    return [f"compare: {again}{' --effects' if comparison.by else ''}"]


def with_more_seeds(plan: Plan) -> str:
    """The command of the whole sweep with three seeds for each setting."""
    values: dict[str, dict[str, None]] = {}
    for job in plan.jobs:
        for key, _, value in (line.partition("=") for line in job.overrides):
            values.setdefault(key, {})[simplest(value)] = None
    seed = next(iter(values.pop("seed", {"0": None})))
    first = int(seed) if seed.isdecimal() else 0
    overrides = [f"{key}={','.join(several)}" for key, several in values.items()]
    seeds = f"seed=range({first},{first + 3})" if first else "seed=range(3)"
    return train(["-m", *overrides, seeds])


def _show_warnings(outcomes: Sequence[Outcome], console: Console) -> None:
    """Each warning once, however many runs had it; those of earlier sweeps were said then."""
    counts = Counter(line for outcome in outcomes if not outcome.reused for line in outcome.warnings)
    for line, count in counts.most_common(MOST_WARNINGS):
        of_runs = f" ({count} runs)" if count > 1 else ""
        text = f"warning: {line}{of_runs}"
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if len(counts) > MOST_WARNINGS:
        console.print(f"and {len(counts) - MOST_WARNINGS} other warnings: see the runs' records")


def _show_failures(outcomes: Sequence[Outcome], console: Console) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed[:MOST_FAILURES]:
        line = f"failed  {outcome.run_id}  {outcome.label}: {outcome.cause or 'no cause recorded'}"
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    if len(failed) > MOST_FAILURES:
        console.print(f"and {len(failed) - MOST_FAILURES} more failed", style="red")
