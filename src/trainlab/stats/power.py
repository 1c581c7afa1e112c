"""What a design can decide: the largest e-value of n seeds, how often and how soon seeds end in a verdict.

Seeds come one at a time from `first` to `most` and stop when an e-value reaches the threshold on either side.
The verdict is that of the last look: an e-value of `decided` or more, where that is less than the threshold
at which seeds stop (an e-value above 20 may fall below it again before one reaches 40). Legend: S simulated
claims, N seeds, P parts of a conjunction.
"""

from functools import cache
from typing import Literal, NamedTuple, get_args

import numpy as np

from trainlab.stats.e_processes import EValues, direction_of, majority_e, mean_e, more_often_e

CountKind = Literal["majority", "contrast", "more_often"]
Kind = Literal["mean", "equivalence", "majority", "contrast", "more_often"]
"""The functions of `e_processes`, less their `_e_values`."""

SIMULATED_CLAIMS = 4_000
"""The standard error of a simulated power is at most 0.8 points."""

DECIDED = 0.95  # share of claims that `seeds_95` waits for


class Power(NamedTuple):
    """What becomes of claims of one design whose truth is known.

    `supported` and `refuted` are shares of claims, the rest is undecided at `most` seeds; `mean_seeds` counts
    the seeds spent, `seeds_95` is the number by which 95% of claims are decided, None if `most` do not do.
    """

    supported: float
    refuted: float
    mean_seeds: float
    seeds_95: int | None


class Stops(NamedTuple):
    """Where claims stopped, and why; an undecided one after all its seeds."""

    seeds_S: np.ndarray
    is_supported_S: np.ndarray
    is_refuted_S: np.ndarray


def best_attainable_e(kind: Kind, n: int) -> EValues:
    """The largest e-values, for and against, of `n` seeds: below the threshold, nothing can be decided.

    Values without spread are left out: they count at most 2ⁿ. Raises ValueError for an unknown kind.
    """
    if kind in ("mean", "equivalence"):
        most, least = (float(mean_e(sign * np.sqrt(n), n)) for sign in (1, -1))
        return EValues(most, most if kind == "mean" else (most + least) / 2)
    most = float(_count_e(_known(kind), np.asarray(n), np.asarray(0), n).e_for)
    return EValues(most, most)


def power_of_mean(
    d: float, first: int, most: int, threshold: float, decided: float | None = None, parts: int = 1
) -> Power:
    """Of "the mean lies above the bound", d = (mean − bound)/sd over seeds; d below 0 makes it false.

    By simulation of normal values, the same for every d. With `parts`, of so many such hypotheses that must
    all hold, independent of each other.
    """
    direction_PSN = direction_of(_normal_values(most, parts) + d)
    n_N = np.arange(1, most + 1)
    e_for_SN, e_against_SN = mean_e(direction_PSN, n_N).min(0), mean_e(-direction_PSN, n_N).mean(0)
    return power_of(stops_of(e_for_SN, e_against_SN, first, threshold, decided), most)


@cache
def detectable_effect(
    first: int, most: int, threshold: float, decided: float | None = None, power: float = 0.8
) -> float | None:
    """The least d = (mean − bound)/sd that is shown with this power; None where not even 10 sd are."""
    low, high = 0.0, 10.0
    if power_of_mean(high, first, most, threshold, decided).supported < power:
        return None
    while high - low > 0.01:
        middle = (low + high) / 2
        if power_of_mean(middle, first, most, threshold, decided).supported < power:
            low = middle
        else:
            high = middle
    return high


def power_of_equivalence(
    d: float,
    margin: float,
    first: int,
    most: int,
    threshold: float,
    decided: float | None = None,
    parts: int = 1,
) -> Power:
    """Of "the mean lies within ± margin", with the mean at `d`, both in sd over seeds.

    By simulation, `parts` as in `power_of_mean`.
    """
    n_N = np.arange(1, most + 1)
    x_PSN = _normal_values(most, parts) + d
    from_low_PSN, from_high_PSN = direction_of(x_PSN + margin), direction_of(x_PSN - margin)
    inside_PSN = np.minimum(mean_e(from_low_PSN, n_N), mean_e(-from_high_PSN, n_N))
    outside_PSN = (mean_e(-from_low_PSN, n_N) + mean_e(from_high_PSN, n_N)) / 2
    stops = stops_of(inside_PSN.min(0), outside_PSN.mean(0), first, threshold, decided)
    return power_of(stops, most)


def power_of_counts(
    kind: CountKind,
    share: float,
    first: int,
    most: int,
    threshold: float,
    other: float = 0.0,
    decided: float | None = None,
) -> Power:
    """Of a hypothesis about runs that learn: `share` of the one setting's do, `other` of the other's.

    Exactly: probabilities of both counts seed by seed, less those at which the claim has stopped. `majority`
    has no other setting. Raises ValueError for an unknown kind or a share outside 0 … 1.
    """
    kind = _known(kind)
    if not (0 <= share <= 1 and 0 <= other <= 1):
        raise ValueError(f"got shares {share} and {other}, expected two between 0 and 1")
    alive_KJ = np.zeros((most + 1, most + 1))
    alive_KJ[0, 0] = 1.0
    count_K1, count_1J = np.arange(most + 1)[:, None], np.arange(most + 1)[None, :]
    supported, refuted, decided_N = 0.0, 0.0, np.zeros(most)
    for n in range(1, most + 1):
        alive_KJ = _one_seed_more(_one_seed_more(alive_KJ, share).T, other).T
        if n < first:
            continue
        e_for_KJ, e_against_KJ = _count_e(kind, np.minimum(count_K1, n), np.minimum(count_1J, n), n)
        enough = decided if decided is not None and n == most else threshold
        is_for_KJ = np.broadcast_to(e_for_KJ >= enough, alive_KJ.shape)
        is_against_KJ = np.broadcast_to(e_against_KJ >= enough, alive_KJ.shape) & ~is_for_KJ
        supported += float(alive_KJ[is_for_KJ].sum())
        refuted += float(alive_KJ[is_against_KJ].sum())
        decided_N[n - 1] = supported + refuted
        alive_KJ = np.where(is_for_KJ | is_against_KJ, 0.0, alive_KJ)
    mean_seeds = 1 + float((1 - decided_N[:-1]).sum())
    return Power(supported, refuted, mean_seeds, _seeds_95(decided_N))


def stops_of(
    e_for_SN: np.ndarray,
    e_against_SN: np.ndarray,
    first: int,
    threshold: float,
    decided: float | None = None,
) -> Stops:
    """Where each claim stops, looked at after every seed from `first` on, and its verdict there."""
    enough = threshold if decided is None else decided
    ends_SN = np.maximum(e_for_SN, e_against_SN) >= threshold
    ends_SN[:, : first - 1] = False
    ends_SN[:, -1] = True
    last_S = ends_SN.argmax(axis=1)
    row_S = np.arange(len(last_S))
    is_supported_S = e_for_SN[row_S, last_S] >= enough
    return Stops(last_S + 1, is_supported_S, (e_against_SN[row_S, last_S] >= enough) & ~is_supported_S)


def power_of(stops: Stops, most: int) -> Power:
    """Shares of verdicts and numbers of seeds over simulated claims."""
    is_decided_S = stops.is_supported_S | stops.is_refuted_S
    decided_N = np.asarray([np.mean(is_decided_S & (stops.seeds_S <= n)) for n in range(1, most + 1)])
    return Power(
        float(stops.is_supported_S.mean()),
        float(stops.is_refuted_S.mean()),
        float(stops.seeds_S.mean()),
        _seeds_95(decided_N),
    )


def _seeds_95(decided_N: np.ndarray) -> int | None:
    enough = np.flatnonzero(decided_N >= DECIDED)
    return int(enough[0]) + 1 if len(enough) else None


def _one_seed_more(alive_KJ: np.ndarray, share: float) -> np.ndarray:
    """Probabilities of counts along the first axis after one more run, of which `share` learn."""
    learned_KJ = np.roll(alive_KJ, 1, axis=0)
    learned_KJ[0] = 0.0
    return share * learned_KJ + (1 - share) * alive_KJ


class _ArrayEValues(NamedTuple):
    e_for: np.ndarray
    e_against: np.ndarray


def _count_e(kind: CountKind, count: np.ndarray, other: np.ndarray, n: int) -> _ArrayEValues:
    """The e-values of `e_processes`, of arrays of counts among `n` seeds."""
    learns, does_not = majority_e(count, n), majority_e(n - count, n)
    if kind == "majority":
        return _ArrayEValues(learns, does_not)
    if kind == "more_often":
        return _ArrayEValues(more_often_e(count, other, n), more_often_e(other, count, n))
    other_learns, other_does_not = majority_e(other, n), majority_e(n - other, n)
    return _ArrayEValues(np.minimum(learns, other_does_not), (does_not + other_learns) / 2)


def _known(kind: Kind) -> CountKind:
    for known in get_args(CountKind):
        if kind == known:
            return known
    raise ValueError(f"kind is {kind!r}, expected one of {', '.join(get_args(CountKind))}")


@cache
def _normal_values(most: int, parts: int) -> np.ndarray:
    values_PSN = np.random.default_rng(0).standard_normal((parts, SIMULATED_CLAIMS, most))
    values_PSN.flags.writeable = False
    return values_PSN
