"""All tables of the page."""

from typing import TypedDict

from experiments.statistics.boundary import ALONE, FIRST, MOST, Row, not_normal, wrong_verdicts
from experiments.statistics.mixtures import (
    MeaningRow,
    MixtureRow,
    meaning_of_the_rule,
    wrong_verdicts_of_mixtures,
)
from experiments.statistics.pages import STOP, PageRow, false_discoveries
from trainlab.stats.power import CountKind, Power, best_attainable_e, power_of_counts, power_of_mean

CLAIMS, PAGES = 20_000, 2_000


class PowerRow(TypedDict):
    """What claims of one truth take, decided alone and for a page."""

    truth: str
    alone: Power
    page: Power


class LargestRow(TypedDict):
    """The largest e-values of so many seeds: of a mean, of one count, of two."""

    seeds: int
    mean: float
    learns: float
    more_often: float


class Results(TypedDict):
    """results.json."""

    claims: int
    pages: int
    boundary: list[Row]
    not_normal: list[Row]
    mixtures: list[MixtureRow]
    meaning: list[MeaningRow]
    page: list[PageRow]
    power: list[PowerRow]
    largest: list[LargestRow]


def simulate_all(claims: int = CLAIMS, pages: int = PAGES) -> Results:
    """Every table, over so many claims and pages a row."""
    return {
        "claims": claims,
        "pages": pages,
        "boundary": wrong_verdicts(claims),
        "not_normal": not_normal(claims),
        "mixtures": wrong_verdicts_of_mixtures(claims),
        "meaning": meaning_of_the_rule(claims),
        "page": false_discoveries(pages),
        "power": [*_power_of_means(), *_power_of_counts()],
        "largest": [_largest(n) for n in range(FIRST, 11)],
    }


def _power_of_means() -> list[PowerRow]:
    return [
        {
            "truth": f"`more`, d = {d:g}",
            "alone": power_of_mean(d, FIRST, MOST, ALONE),
            "page": power_of_mean(d, FIRST, MOST, STOP),
        }
        for d in (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
    ]


def _power_of_counts() -> list[PowerRow]:
    cases: list[tuple[CountKind, str, float, float]] = [
        ("majority", "`learns`: 100%", 1.0, 0.0),
        ("majority", "`learns`: 95%", 0.95, 0.0),
        ("contrast", "`learns … unlike`: 100% and 0%", 1.0, 0.0),
        ("contrast", "`learns … unlike`: 95% and 5%", 0.95, 0.05),
        ("more_often", "`more_often`: 100% and 0%", 1.0, 0.0),
        ("more_often", "`more_often`: 95% and 5%", 0.95, 0.05),
        ("more_often", "`more_often`: 80% and 20%", 0.8, 0.2),
    ]
    return [
        {
            "truth": truth,
            "alone": power_of_counts(kind, share, FIRST, MOST, ALONE, other),
            "page": power_of_counts(kind, share, FIRST, MOST, STOP, other),
        }
        for kind, truth, share, other in cases
    ]


def _largest(n: int) -> LargestRow:
    return {
        "seeds": n,
        "mean": best_attainable_e("mean", n).e_for,
        "learns": best_attainable_e("majority", n).e_for,
        "more_often": best_attainable_e("more_often", n).e_for,
    }
