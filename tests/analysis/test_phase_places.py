"""Scale against depth: how right a rule is, and which constant the runs would choose."""

import itertools
import random

import pytest

from trainlab.analysis import phase
from trainlab.analysis.phase import AT_CHANCE, DIVERGED, LEARNED, Diagram, Place


def diagram(constant=4.0, noise=0.0, seeds=2):
    dice = random.Random(0)
    places = []
    for xi, depth, seed in itertools.product((1.0, 2.0, 5.0, 20.0), (2, 4, 8, 16, 32), range(seeds)):
        learned = (depth <= constant * xi) != (dice.random() < noise)
        places.append(Place(xi, depth, seed, LEARNED if learned else AT_CHANCE, xi, 0.9 if learned else 0.2))
    return Diagram("init.sigma_w2", tuple(places))


def right_by_counting(drawn, constant):
    """The slow twin: one run after the other."""
    right = 0
    for place in drawn.places:
        said = place.depth / place.xi <= constant
        right += said is place.learned
    return right / len(drawn.places)


def test_a_rule_that_made_the_runs_is_found_again():
    drawn = diagram()
    rule = phase.best_rule(drawn)
    assert rule.agreement.value == 1
    assert rule.low <= rule.constant <= rule.high
    assert 4 <= rule.constant < 6.4, "4 ξ and 6.4 ξ are the ratios nearest to each other around it"
    assert phase.theory_agreement(drawn, 4.0).value == 1
    assert phase.forecast_agreement(drawn).value == 1


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_no_constant_agrees_better_than_the_best(noise):
    drawn = diagram(noise=noise)
    rule = phase.best_rule(drawn)
    assert rule.agreement.value == pytest.approx(right_by_counting(drawn, rule.constant))
    tried = [right_by_counting(drawn, k / 20) for k in range(1, 700)]
    assert rule.agreement.value == pytest.approx(max(tried))


def test_with_no_border_among_the_runs_there_is_no_rule():
    assert phase.best_rule(diagram(constant=1e9)) is None
    assert phase.best_rule(diagram(constant=0.0)) is None


def test_what_theory_or_forecast_say_nothing_of_is_not_counted():
    places = (Place(1, 4, 0, LEARNED), Place(1, 8, 0, DIVERGED, xi=1.0, learns=0.1))
    drawn = Diagram("x", places)
    assert phase.theory_agreement(drawn).n == 1 and phase.forecast_agreement(drawn).n == 1
    assert phase.sure(phase.theory_agreement(Diagram("x", places[:1]))) == "none"


def test_a_run_has_one_fate():
    assert phase.fate("diverged", True) == DIVERGED
    assert phase.fate("finished", True) == LEARNED
    assert phase.fate("finished", False) == AT_CHANCE
    assert phase.fate("failed", None) is None
