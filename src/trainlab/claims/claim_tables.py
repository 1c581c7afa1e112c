"""The tables of a claim's page: expectations, arms, grids, what was tuned; in Markdown, from its record."""

from collections.abc import Sequence

from trainlab.claims.claim_record import (
    ArmRecord,
    CandidateRecord,
    ClaimRecord,
    ExpectationRecord,
    MeanRecord,
    TuningRecord,
)
from trainlab.claims.evidence_text import evidence_words, mark_of, observed_text
from trainlab.claims.spec import cell_name
from trainlab.diagnosis.verdict import is_cause_valid

WHAT_ARMS_SHOW = (
    "Each arm (a setting that is compared): how many of its runs, one a seed, learned, and their mean; sd, "
    "the standard deviation, is how far single runs lie from it."
)


def facts_table(facts: Sequence[ExpectationRecord]) -> str:
    """One line a fact: what was expected, what was counted."""
    lines = ["| | expected | counted |", "|---|---|---|"]
    lines += [f"| {mark_of(f.verdict)} {f.verdict} | {f.description} | {f.observed} |" for f in facts]
    return "\n".join(lines)


def tested_table(expectations: Sequence[ExpectationRecord]) -> str:
    """One line an expectation: what was expected, what was seen, and the evidence of the clearer side."""
    lines = ["| | expected | seen | evidence |", "|---|---|---|---|"]
    for expectation in expectations:
        lines.append(
            f"| {mark_of(expectation.verdict)} {expectation.verdict} | {expectation.description} "
            f"| {observed_text(expectation)} "
            f"| {evidence_words(expectation).removeprefix('evidence ') or '–'} |"
        )
    return "\n".join(lines)


def arms_table(record: ClaimRecord) -> str:
    """One line an arm: how many runs learned, and their means with the standard deviation of the runs.

    No intervals: the one on a page belongs to what was tested, and stands with its verdict.
    """
    lines = [
        WHAT_ARMS_SHOW,
        "",
        "| arm | parameters | learned | test accuracy | training accuracy | test loss | diagnosis (runs) |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for arm in record.arms:
        lines.append(
            f"| {arm.arm} | {arm.parameters or 0:,} | {arm.learned} of {arm.n} "
            f"| {_accuracy_text(arm.test_accuracy)} | {_accuracy_text(arm.training_accuracy)} "
            f"| {_loss_text(arm.test_loss)} | {remarks(arm)} |"
        )
    return "\n".join(lines)


def grid_table(record: ClaimRecord) -> str:
    """How many runs learned, by scale and depth; empty where the claim has no grid."""
    grid, arms = record.grid, {arm.arm: arm for arm in record.arms}
    if grid is None:
        return ""
    lines = [
        f"Runs that learned, by `{grid.scale}` and depth:",
        "",
        f"| depth | {' | '.join(f'{scale:g}' for scale in grid.scales)} |",
        f"|---:|{'---:|' * len(grid.scales)}",
    ]
    for depth in sorted(grid.depths, reverse=True):
        row = [arms[cell_name(scale, depth)] for scale in grid.scales]
        cells = [f"{arm.learned} of {arm.n}" for arm in row]
        lines.append(f"| {depth} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tuning_table(record: ClaimRecord) -> str:
    """What was tried for each arm on seeds of its own: mean validation accuracy, the chosen in bold.

    A table for each list of candidates: an arm whose ladder was widened has more of them than the others.
    """
    groups: dict[tuple[str, ...], dict[str, TuningRecord]] = {}
    for arm, tuning in record.tuned.items():
        words = tuple(" ".join(candidate.overrides) for candidate in tuning.tried)
        groups.setdefault(words, {})[arm] = tuning
    seeds = next((f"{t.seeds} seeds" for t in record.tuned.values() if t.seeds), "seeds")
    parts = [
        f"Mean validation accuracy of what was tried for each arm, on {seeds} that count nowhere else; "
        "with the best (bold) it is judged:"
    ]
    for words, tunings in groups.items():
        head = " | ".join(f"`{word}`" for word in words)
        lines = [f"| arm | {head} |", f"|---|{'---:|' * len(words)}"]
        for arm, tuning in tunings.items():
            cells = [_candidate_cell(candidate, tuning) for candidate in tuning.tried]
            lines.append(f"| {arm} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    parts += [_tuning_note(arm, tuning) for arm, tuning in record.tuned.items() if _tuning_note(arm, tuning)]
    return "\n\n".join(parts)


def _candidate_cell(candidate: CandidateRecord, tuning: TuningRecord) -> str:
    """The mean over a candidate's seeds, and what hides in it: seeds of which some learned, or went wrong."""
    text = "diverged" if candidate.accuracy is None else f"{100 * candidate.accuracy:.2f} %"
    notes = [f"{candidate.worst} diverged or failed"] if candidate.worst else []
    if candidate.learned and candidate.learned < (tuning.seeds or 0):
        notes.append(f"{candidate.learned} of {tuning.seeds} learned")
    text += f" ({', '.join(notes)})" if notes else ""
    return f"**{text}**" if candidate.overrides == tuning.chosen else text


def _tuning_note(arm: str, tuning: TuningRecord) -> str:
    if tuning.none_learned:
        return f"{arm}: {tuning.note or 'no value made it learn; the middle one was taken'}."
    if tuning.edge is not None:
        return (
            f"{arm}: not tuned, its best is the {'least' if tuning.edge == 'low' else 'largest'} value tried."
        )
    return ""


def _accuracy_text(mean: MeanRecord) -> str:
    return "–" if mean.value is None else _mean_text(mean, scale=100, digits=2, unit=" %")


def _loss_text(mean: MeanRecord) -> str:
    return "–" if mean.value is None else _mean_text(mean, scale=1, digits=3)


def _mean_text(mean: MeanRecord, scale: int, digits: int, unit: str = "") -> str:
    """`91.20 % (sd 0.31)`, in units of 1/scale."""
    text = f"{scale * (mean.value or 0.0):.{digits}f}{unit}"
    return text if mean.sd is None else f"{text} (sd {scale * mean.sd:.{digits}f})"


def remarks(arm: ArmRecord) -> str:
    """Runs that did not simply finish, and why runs did not learn."""
    others = [f"{count} {status}" for status, count in arm.statuses.items() if status != "finished"]
    causes = [
        f"{cause.replace('_', ' ')} ({count})"
        for cause, count in arm.causes.items()
        if is_cause_valid(cause, arm.verdict_version) and cause not in arm.statuses
    ]
    return ", ".join([*others, *causes])
