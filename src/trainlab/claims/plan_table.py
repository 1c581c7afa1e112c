"""Planned claims as a table, for the terminal, for a page in Markdown, and as plain values."""

from collections import Counter
from collections.abc import Sequence

from trainlab.claims.plan_estimate import Amount, ClaimCost, CourseCost
from trainlab.json_types import Json, JsonObject

HEADER = (
    "claim", "arms × seeds", "tuning runs", "runs to do", "stacks", "steps of a run", "time", "at least"
)  # fmt: skip
NOTHING = "–"
DAY_HOURS = 24


def table_rows(course: CourseCost) -> list[tuple[str, ...]]:
    """A line a claim below `HEADER`, and the sum at the end."""
    first, most = course.total(0), course.total(-1)
    total = (
        "all",
        "",
        "",
        _span(first.runs, most.runs),
        _total_stacks(most),
        "",
        _time_span(first, most),
        _least(first),
    )
    return [*map(_row, course.claims), total]


def _row(claim: ClaimCost) -> tuple[str, ...]:
    plan, first, most = claim.plan, claim.first, claim.most
    if not plan.arms:
        return (plan.entry.name, "nothing is trained", *[NOTHING] * (len(HEADER) - 2))
    steps = NOTHING if claim.steps_of_a_run is None else _span(*claim.steps_of_a_run)
    return (
        plan.entry.name,
        f"{plan.arms} × {_span(plan.seeds[0], plan.seeds[-1])}",
        str(plan.tuning_runs or NOTHING),
        _span(first.runs, most.runs),
        _sizes(most),
        steps,
        _time_span(first, most),
        _least(first),
    )


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _sizes(amount: Amount) -> str:
    """`2 × 12, 5 alone`: how many stacks of how many runs."""
    counts = sorted(Counter(amount.stacks).items(), reverse=True)
    parts = [f"{count} × {size}" for size, count in counts]
    return ", ".join(parts + ([f"{amount.alone} alone"] if amount.alone else [])) or NOTHING


def _total_stacks(amount: Amount) -> str:
    alone = f", {amount.alone:,} alone" if amount.alone else ""
    return f"{len(amount.stacks):,} stacks of {sum(amount.stacks):,} runs{alone}"


def _time_span(first: Amount, most: Amount) -> str:
    if first.seconds is None or most.seconds is None:
        return NOTHING
    low, high = approximate_duration(first.seconds), approximate_duration(most.seconds)
    return low if low == high else f"{low} to {high}"


def _least(amount: Amount) -> str:
    return NOTHING if amount.least_seconds is None else approximate_duration(amount.least_seconds)


def approximate_duration(seconds: float) -> str:
    """Two digits of an estimate: `48 s`, `4.2 min`, `13 h`, `3.1 days`."""
    if seconds < 1:
        return "0 s" if seconds == 0 else "under 1 s"
    for unit, size, most in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 2 * DAY_HOURS)):
        if round_estimate(seconds / size) < most:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds / (3600 * DAY_HOURS))} days"


def _two_digits(value: float) -> str:
    rounded = round_estimate(value)
    return f"{rounded:.1f}" if rounded < 10 else f"{rounded:,.0f}"


def round_estimate(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def notes(course: CourseCost) -> list[str]:
    """What the table rests on, a line each."""
    lines = [course.source, course.stacks]
    if any(len(claim.plan.seeds) > 1 for claim in course.claims):
        lines.append("a to b: up to the first look; at most, where a claim is undecided then")
    if course.total(0).least_seconds is not None:
        lines.append("at least: up to the first look, if all layers were as fast as a large matrix product")
    kept = sum(claim.plan.requested_runs(-1) - claim.most.runs for claim in course.claims)
    if kept:
        lines.append(f"not in it: {kept:,} runs that are done, or are those of a claim before")
    return lines


def markdown_table(course: CourseCost) -> str:
    """The same as a table of a page."""
    lines = [f"| {' | '.join(HEADER)} |", "|---|---|---:|---:|---|---:|---:|---:|"]
    rows = table_rows(course)
    for row in rows[:-1]:
        lines.append(f"| [`{row[0]}`](../{row[0]}/README.md) | {' | '.join(row[1:])} |")
    lines.append("| " + " | ".join(f"**{cell}**" if cell else "" for cell in rows[-1]) + " |")
    return "\n".join(lines)


def course_json(course: CourseCost) -> JsonObject:
    """All of it as plain values; seconds have two digits, or are null."""
    return {
        "profile": course.profile,
        "card": course.card,
        "rates": None if course.rates is None else str(course.rates),
        "notes": list(notes(course)),
        "claims": [_claim_json(claim) for claim in course.claims],
        "total": {"first": _amount_json(course.total(0)), "most": _amount_json(course.total(-1))},
    }


def _claim_json(claim: ClaimCost) -> JsonObject:
    plan = claim.plan
    trained = bool(plan.arms)
    return {
        "claim": plan.entry.name,
        "arms": plan.arms,
        "seeds": _ends(plan.seeds) if trained else None,
        "tuning_runs": plan.tuning_runs,
        "requested_runs": {"first": plan.requested_runs(0), "most": plan.requested_runs(-1)},
        "steps_of_a_run": None if claim.steps_of_a_run is None else list(claim.steps_of_a_run),
        "first": _amount_json(claim.first),
        "most": _amount_json(claim.most),
    }


def _ends(values: Sequence[int]) -> dict[str, Json]:
    return {"first": values[0], "most": values[-1]}


def _amount_json(amount: Amount) -> JsonObject:
    return {
        "runs": amount.runs,
        "stacks": list(amount.stacks),
        "alone": amount.alone,
        "steps": amount.steps,
        "seconds": None if amount.seconds is None else round_estimate(amount.seconds),
        "least_seconds": None if amount.least_seconds is None else round_estimate(amount.least_seconds),
    }
