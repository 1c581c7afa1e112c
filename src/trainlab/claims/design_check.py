"""`trainlab claims check`: can a claim be decided, and do its arms differ in nothing but what it names?"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from trainlab.claims.arm_sizes import arm_parameters, arm_steps
from trainlab.claims.design_power import design_power
from trainlab.claims.expectations import (
    ApproxEqual,
    AtChance,
    Equivalent,
    Exact,
    Expectation,
    GreaterBy,
    Interaction,
    Learns,
    LearnsMoreOften,
    MeanExpectation,
    Ordered,
    PhaseBoundary,
    Slope,
    Threshold,
)
from trainlab.claims.jobs import ClaimComposer
from trainlab.claims.registry import ClaimFile
from trainlab.claims.source_check import source_faults
from trainlab.claims.sources import needs_run
from trainlab.claims.spec import MIN_TUNING_SEEDS, Claim, Profile, SeedCounts
from trainlab.errors import RequestError
from trainlab.figures.interval_plots import LEVEL_SEPARATOR
from trainlab.settings import Settings
from trainlab.sweeps.forkserver import ForkServer

NEGLIGIBLE = 0.01
"""Of sizes of two arms, the share by which they may differ unnamed: BatchNorm has parameters too."""


@dataclass(frozen=True)
class CheckedClaim:
    """What of a claim is worth a look: lines on its power, and warnings."""

    name: str
    power: Sequence[str]
    warnings: Sequence[str]


def check_designs(entries: Sequence[ClaimFile], server: ForkServer) -> list[CheckedClaim]:
    """Each claim with its power in every profile, and what else its arms differ in.

    Raises:
        RequestError: designs that cannot be decided, and what is measured that is not there, all in one line.
    """
    faults, checked = [], []
    for entry in entries:
        lines = []
        primary = entry.claim.primary
        faults += [f"claim {entry.name}: {fault}" for fault in _missing(entry.claim)]
        for name in entry.claim.profile_names:
            profile = entry.claim.profile(name)
            if profile.not_testable is not None:
                lines.append(f"{name}: not testable, {profile.not_testable}")
            elif primary is not None:
                power = design_power(primary, _counts(entry.claim, profile))
                lines.append(f"{name}: {power.line()}")
                if power.fault:
                    faults.append(f"claim {entry.name}, profile {name}: {power.fault}")
        checked.append((entry, lines if primary is not None else ["facts alone: nothing is tested"]))
    faults += source_faults(entries, server)
    if faults:
        raise RequestError("; ".join(faults))
    composer = ClaimComposer()
    return [CheckedClaim(entry.name, lines, confounds(entry, composer, server)) for entry, lines in checked]


def _counts(claim: Claim, profile: Profile) -> SeedCounts:
    """How many values the primary expectation gets: one a seed; of an advantage, one a scale of the grid."""
    primary = claim.primary
    if claim.grid is None or not isinstance(primary, PhaseBoundary) or primary.measure != "advantage":
        return profile.seeds
    scales = len(claim.grid.scales)
    return SeedCounts(first=scales, most=scales)


def _missing(claim: Claim) -> list[str]:
    """What a claim lacks that its page or its fairness needs."""
    faults = []
    if claim.collection == "course" and claim.lesson is None:
        faults.append("lesson is missing: a claim of the course teaches")
    if claim.primary is not None and claim.primary.expects is None:
        faults.append("expects is missing: expected the effect that the primary expectation is designed for")
    if claim.tune is not None and claim.tune.seeds < MIN_TUNING_SEEDS:
        faults.append(f"tune.seeds={claim.tune.seeds}: expected {MIN_TUNING_SEEDS} or more")
    faults += [
        f"'{e.description}' is a fact, counted and not tested: expected kind: exact"
        for e in claim.expectations
        if isinstance(e, MeanExpectation) and not needs_run(e.of)
    ]
    drawn = [arm for figure in claim.figures if figure.kind == "interaction" for arm in claim.arms_of(figure)]
    faults += [
        f"arm '{arm}': an interaction is drawn of names like 'relu{LEVEL_SEPARATOR}kaiming'"
        for arm in dict.fromkeys(drawn)
        if LEVEL_SEPARATOR not in arm
    ]
    return faults


def confounds(entry: ClaimFile, composer: ClaimComposer, server: ForkServer) -> list[str]:
    """In what else than the claim names arms differ that it compares: a line for each pair."""
    pairs = dict.fromkeys(pair for one in entry.claim.expectations for pair in compared_arms(one))
    profile = next((n for n in entry.claim.profile_names if not entry.claim.profile(n).not_testable), None)
    if not pairs or profile is None:
        return []
    arms = list(dict.fromkeys(itertools.chain.from_iterable(pairs)))
    settings = {arm: composer.settings(entry, profile, arm) for arm in arms}
    measured: dict[str, dict[str, int | None]] = {
        "parameters": dict(zip(arms, _parameters(list(settings.values()), server), strict=True)),
        "steps": dict(zip(arms, _steps(list(settings.values()), server), strict=True)),
    }
    lines = []
    for first, second in pairs:
        parts = [
            f"{what} ({values[first]:,} / {values[second]:,})"
            for what, values in measured.items()
            if what not in entry.claim.also_differs and _differ(values[first], values[second])
        ]
        if parts:
            lines.append(f"{first} / {second} also differ in: {', '.join(parts)}")
    return lines


def _differ(first: int | None, second: int | None) -> bool:
    """Whether two sizes differ by more than a hundredth; what is not known differs in nothing."""
    return first is not None and second is not None and abs(first - second) > NEGLIGIBLE * max(first, second)


def _parameters(settings: Sequence[Settings], server: ForkServer) -> list[int | None]:
    return server.call(arm_parameters, [one.to_json() for one in settings])


def _steps(settings: Sequence[Settings], server: ForkServer) -> list[int | None]:
    """Equal budgets have equal steps; only where they are not are the data asked for their size."""
    budgets = {(one.data.to_json(), one.trainer.max_epochs, one.trainer.max_steps) for one in settings}
    if len(budgets) == 1:
        return [None] * len(settings)
    return server.call(arm_steps, [one.to_json() for one in settings])


def compared_arms(expectation: Expectation) -> Iterator[tuple[str, str]]:
    """The pairs of arms that an expectation sets against each other."""
    match expectation:
        case GreaterBy():
            yield expectation.more, expectation.than
        case Equivalent():
            yield expectation.same[0], expectation.same[1]
        case Ordered():
            yield from itertools.pairwise(expectation.order)
        case Interaction():
            yield expectation.pair[0], expectation.pair[1]
            yield expectation.against[0], expectation.against[1]
        case Slope():
            for line in (expectation.slope, expectation.less or {}):
                yield from itertools.pairwise(line)
        case Learns(unlike=str(unlike)):
            yield expectation.arm, unlike
        case LearnsMoreOften():
            yield expectation.arm, expectation.than
        case Learns() | AtChance() | Threshold() | ApproxEqual() | Exact() | PhaseBoundary():
            pass  # of one arm; the cells of a grid differ in what the grid names
        case _:
            assert_never(expectation)
