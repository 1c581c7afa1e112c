"""A claim's arms × seeds as runs: their overrides and settings. No torch."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import Override

from trainlab.claims.registry import ClaimFile
from trainlab.config.composer import Composer
from trainlab.errors import RequestError
from trainlab.settings import Settings

DEFAULT_OVERRIDES = ("logger=none", "checkpoint=none", "signals=on", "trainer.threads=1")
"""What every run of a claim has, where the claim does not say otherwise."""


@dataclass(frozen=True)
class ArmJob:
    """One run of an arm."""

    arm: str
    seed: int
    overrides: tuple[Override, ...]


class ClaimComposer:
    """Turns the overrides of claims into jobs and settings.

    A claim may be a stranger's, and so is what it names; paths are the user's own and trusted.
    """

    def __init__(self) -> None:
        self._composer = Composer(trusted=("paths",))

    def compose(self, overrides: Sequence[Override]) -> Settings:
        """The settings of one job. Raises RequestError."""
        return self._composer.job(overrides)

    def settings(self, entry: ClaimFile, profile: str, arm: str, *more: str) -> Settings:
        """The frozen settings of an arm, with its default seed. Raises RequestError naming claim and arm."""
        try:
            return self.compose(self._single(arm_overrides(entry, profile, arm, *more)))
        except RequestError as error:
            raise RequestError(f"claim {entry.name}, arm '{arm}', profile {profile}: {error}") from None

    def jobs(self, entry: ClaimFile, profile: str, seeds: Sequence[int], *more: str) -> list[ArmJob]:
        """Every trained arm with each of these seeds, seed by seed: all arms have as many at any time."""
        return [
            ArmJob(arm, seed, self._single(_with_seed(arm_overrides(entry, profile, arm, *more), seed)))
            for seed in seeds
            for arm in entry.claim.trained_arms
        ]

    def tuning_jobs(
        self, entry: ClaimFile, profile: str, arm: str, candidate: Sequence[str], seeds: Sequence[int],
        *more: str,
    ) -> list[ArmJob]:  # fmt: skip
        """The runs of an arm with a candidate that it is tuned over, one of each of these seeds."""
        lines = [*candidate, *more, f"group=claim-{entry.name}-tuning"]
        return [
            ArmJob(arm, seed, self._single(_with_seed(arm_overrides(entry, profile, arm, *lines), seed)))
            for seed in seeds
        ]

    def _single(self, lines: Sequence[str]) -> tuple[Override, ...]:
        grid = self._composer.grid(lines, {})
        if len(grid) != 1:
            raise RequestError(f"{', '.join(grid.swept)}: an arm is one setting, expected one value")
        return next(grid.jobs())


def arm_overrides(entry: ClaimFile, profile: str, arm: str, *more: str) -> list[str]:
    """The overrides of an arm, the most particular last."""
    claim = entry.claim
    checkpoint = ["checkpoint=last"] if claim.needs_weights else []
    return [
        *DEFAULT_OVERRIDES, *checkpoint, f"group=claim-{entry.name}",
        *claim.profile(profile).overrides, *claim.common, *claim.arms[arm], *more,
    ]  # fmt: skip


def _with_seed(lines: Sequence[str], seed: int) -> list[str]:
    """Overrides of one seed. The split follows it where an arm does not say otherwise: images are drawn
    anew with every seed, and all arms see the same ones."""
    return [f"data.split_seed={seed}", *lines, f"seed={seed}"]


def seeds_of_looks(entry: ClaimFile, profile: str) -> Sequence[int]:
    """After how many seeds a claim is judged, at each look; one look at none where nothing is trained.

    Facts need no more than the first seeds, which the figure shows.
    """
    if not entry.claim.trained_arms:
        return [0]
    seeds = entry.claim.profile(profile).seeds
    return seeds.looks() if entry.claim.primary is not None else [seeds.first]


def check_claims(entries: Sequence[ClaimFile]) -> None:
    """Composes every arm of every claim in both profiles, and with every candidate that it is tuned over.

    Raises:
        RequestError: all that does not compose, in one line.
    """
    faults = []
    composer = ClaimComposer()
    for entry in entries:
        for profile in entry.claim.profile_names:
            candidates = [[], *(entry.claim.tune.first_candidates() if entry.claim.tune is not None else [])]
            for arm, more in itertools.product(entry.claim.arms, candidates):
                try:
                    composer.settings(entry, profile, arm, *more)
                except RequestError as error:
                    faults.append(str(error))
    if faults:
        raise RequestError("; ".join(faults))
