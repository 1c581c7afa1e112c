"""What a sweep prints at its end: the table, what failed, what pruning saved, and how to go on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from rich.console import Console

from trainlab.analysis import compare
from trainlab.analysis.tables import fit_comparison
from trainlab.config.command_line import strip_needless_quotes, train_command_line, trainlab_command_line
from trainlab.errors import RequestError
from trainlab.runs import load_runs
from trainlab.runs.result import DONE_STATUSES, RECORDED_STATUSES, CorruptRunError, Result
from trainlab.runs.run_folder import RunFolder
from trainlab.sweeps.outcome import Outcome, read_outcome
from trainlab.sweeps.plan import Job, Plan
from trainlab.units import format_duration

MAX_ROWS = 40
_STATUS_ORDER = (*RECORDED_STATUSES, "unstarted")
MAX_FAILURES = 20
MAX_WARNINGS = 5


def all_outcomes(plan: Plan, ended: Sequence[Outcome]) -> list[Outcome]:
    """The outcome of every run of the plan: of those run by this sweep, and those done before."""
    todo = {job.run_id for job in plan.todo}
    return [*ended, *(_planned_outcome(plan, job) for job in plan.jobs if job.run_id not in todo)]


def _planned_outcome(plan: Plan, job: Job) -> Outcome:
    outcome = Outcome(job.run_id, job.label, job.status, reused=True)
    if job.status != "failed":
        return outcome
    return read_outcome(job, RunFolder(plan.runs / job.run_id), reused=True) or outcome  # with its cause


def print_summary(plan: Plan, outcomes: Sequence[Outcome], console: Console, pruned_by: str = "none") -> None:
    """Prints the summary; `trainlab compare GROUP` prints the same table later."""
    notes = _print_table(plan, console)
    _print_failures(outcomes, console)
    if pruned_by != "none":  # reads every record: only where pruning was requested
        for line in pruning_savings(plan).lines():
            console.print(line, highlight=False)
    counts = Counter(outcome.status for outcome in outcomes)
    line = ", ".join(f"{counts[status]} {status}" for status in _STATUS_ORDER if counts[status])
    console.print(line, style="bold", highlight=False)
    _print_warnings(outcomes, console)
    for note in [f"runs: {plan.runs}", *notes]:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    if counts["interrupted"] or counts["unstarted"]:
        console.print("to continue: the same command again; nothing finished is run twice")
    if counts["failed"]:
        console.print("to run the failed ones again: the same command with sweep.retry_failed=true")


def _print_table(plan: Plan, console: Console) -> list[str]:
    """Prints the settings, best first; returns lines on what to do with them next."""
    try:
        comparison = compare(load_runs(plan.runs, plan.run_ids, settings=True))
    except RequestError:
        return []  # no run has a test accuracy yet: what failed says why
    shown = fit_comparison(comparison, console.width, plan.group, most=MAX_ROWS)
    console.print(shown.table)
    for note in shown.notes:
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=True)
    again = trainlab_command_line("compare", plan.group, runs=plan.runs)
    if comparison.has_single_seeds:
        return [
            f"compare: {again}",
            f"one seed each: no intervals; with three: {command_with_more_seeds(plan)}",
        ]
    return [f"compare: {again}{' --effects' if comparison.by else ''}"]


def command_with_more_seeds(plan: Plan) -> str:
    """The command of the whole sweep with three seeds for each setting."""
    values: dict[str, dict[str, None]] = {}
    for job in plan.jobs:
        for key, _, value in (line.partition("=") for line in job.overrides):
            values.setdefault(key, {})[strip_needless_quotes(value)] = None
    seed = next(iter(values.pop("seed", {"0": None})))
    first = int(seed) if seed.isdecimal() else 0
    overrides = [f"{key}={','.join(several)}" for key, several in values.items()]
    seeds = f"seed=range({first},{first + 3})" if first else "seed=range(3)"
    return train_command_line(["-m", *overrides, seeds])


def _print_warnings(outcomes: Sequence[Outcome], console: Console) -> None:
    """Prints each warning once, however many runs had it, but none of runs that earlier sweeps did."""
    counts = Counter(line for outcome in outcomes if not outcome.reused for line in outcome.warnings)
    for line, count in counts.most_common(MAX_WARNINGS):
        of_runs = f" ({count} runs)" if count > 1 else ""
        text = f"warning: {line}{of_runs}"
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if len(counts) > MAX_WARNINGS:
        console.print(f"and {len(counts) - MAX_WARNINGS} other warnings: see the runs' records")


def _print_failures(outcomes: Sequence[Outcome], console: Console) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed[:MAX_FAILURES]:
        line = f"failed  {outcome.run_id}  {outcome.label}: {outcome.cause or 'no cause recorded'}"
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    if len(failed) > MAX_FAILURES:
        console.print(f"and {len(failed) - MAX_FAILURES} more failed", style="red")


@dataclass(frozen=True)
class PruningSavings:
    """How many runs were judged before or while they trained, pruned, and trained as an audit nevertheless.

    `saved_seconds`: what the pruned would have taken if they were like those run whole, less what they took.
    None where nothing was run whole.
    """

    pruned: int
    judged: int
    saved_seconds: float | None
    audited: int
    audited_learned: int

    def lines(self) -> list[str]:
        """For people; empty where nothing was pruned or audited."""
        lines = []
        if self.pruned:
            saved = "" if self.saved_seconds is None else f", {_format_saving(self.saved_seconds)}"
            lines.append(f"pruned {self.pruned} of {self.judged} runs{saved}")
        if self.audited:
            lines.append(
                f"audit: {self.audited} that would have been pruned were run; "
                f"{self.audited_learned} of them learned"
            )
        return lines


def _format_saving(seconds: float) -> str:
    how = "saved" if seconds >= 0 else "cost"
    return f"which {how} about {format_duration(abs(seconds))} of one slot"


def pruning_savings(plan: Plan) -> PruningSavings:
    """What the records of a plan's runs say of pruning."""
    results = [result for run_id in plan.run_ids if (result := _read_result(plan, run_id)) and result.pruning]
    pruned = [result for result in results if result.status == "pruned"]
    whole = [result for result in results if result.status in DONE_STATUSES]
    audited = [result for result in whole if _would_be_pruned(result.pruning)]
    saved = None
    if pruned and whole:
        each = mean(result.seconds or 0.0 for result in whole)
        saved = len(pruned) * each - sum(result.seconds or 0.0 for result in pruned)
    learned = sum(result.verdict.learned is True for result in audited)
    return PruningSavings(len(pruned), len(results), saved, len(audited), learned)


def _would_be_pruned(pruning: Mapping[str, object] | None) -> bool:
    return bool(pruning and pruning.get("reason"))


def _read_result(plan: Plan, run_id: str) -> Result | None:
    try:
        return RunFolder(plan.runs / run_id).result()
    except CorruptRunError:
        return None
