"""What a sweep ends with: the table, the effects, what failed, where it lies and how to go on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from trainlab.analysis import compare, effects
from trainlab.analysis.tables import comparison_table, effects_tables, what_all_share
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
    """Prints the summary; `trainlab compare GROUP` prints the same tables later."""
    _show_tables(plan, console)
    _show_failures(outcomes, console)
    if pruned_by != "none":  # a look at every record: only where somebody asked
        for line in savings(plan).lines():
            console.print(line, highlight=False)
    counts = Counter(outcome.status for outcome in outcomes)
    line = ", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status])
    console.print(line, style="bold", highlight=False)
    console.print(f"runs: {plan.runs}    compare: trainlab compare {plan.group} --effects", highlight=False)
    if counts["interrupted"] or counts["unstarted"]:
        console.print("to continue: the same command again; nothing finished is run twice")
    if counts["failed"]:
        console.print("to run the failed ones again: the same command with sweep.retry_failed=true")


def _show_tables(plan: Plan, console: Console) -> None:
    try:
        runs = load_runs(plan.runs, plan.run_ids, settings=True)
        comparison = compare(runs)
    except RequestError:
        return  # no run has a test accuracy yet: what failed says why
    rows = comparison.table.height
    console.print(comparison_table(replace(comparison, table=comparison.table.head(MOST_ROWS)), plan.group))
    console.print(what_all_share(comparison), style="dim", highlight=False)
    if rows > MOST_ROWS:
        console.print(f"the best {MOST_ROWS} of {rows} settings; all of them: trainlab compare {plan.group}")
    try:
        for table in effects_tables(effects(runs)):
            console.print(table)
    except RequestError:
        return  # nothing differs among what was measured: there is no effect to tell


def _show_failures(outcomes: Sequence[Outcome], console: Console) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed[:MOST_FAILURES]:
        line = f"failed  {outcome.run_id}  {outcome.label}: {outcome.cause or 'no cause recorded'}"
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    if len(failed) > MOST_FAILURES:
        console.print(f"and {len(failed) - MOST_FAILURES} more failed", style="red")
