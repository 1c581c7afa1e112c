"""Scale against depth: how often a rule is right, and which constant fits the runs best."""

import itertools
import random

import pytest

from trainlab.analysis import phase_diagram, wilson_interval
from trainlab.analysis.phase_diagram import AT_CHANCE, DIVERGED, LEARNED, PhaseDiagram, PhasePoint


def diagram(constant=4.0, noise=0.0, seeds=2):
    dice = random.Random(0)
    points = []
    for xi, depth, seed in itertools.product((1.0, 2.0, 5.0, 20.0), (2, 4, 8, 16, 32), range(seeds)):
        learned = (depth <= constant * xi) != (dice.random() < noise)
        points.append(
            PhasePoint(xi, depth, seed, LEARNED if learned else AT_CHANCE, xi, 0.9 if learned else 0.2)
        )
    return PhaseDiagram("init.sigma_w2", tuple(points))


def right_by_counting(drawn, constant):
    """The slow twin: one run after the other."""
    right = 0
    for point in drawn.points:
        predicted = point.depth / point.xi <= constant
        right += predicted is point.learned
    return right / len(drawn.points)


def test_a_rule_that_made_the_runs_is_found_again():
    drawn = diagram()
    rule = phase_diagram.fit_depth_rule(drawn)
    assert rule is not None
    assert rule.agreement.value == 1
    assert rule.low <= rule.constant <= rule.high
    assert 4 <= rule.constant < 6.4, "4 ξ and 6.4 ξ are the ratios nearest to each other around it"
    assert phase_diagram.theory_agreement(drawn, 4.0).value == 1
    assert phase_diagram.forecast_agreement(drawn).value == 1


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_no_constant_agrees_better_than_the_best(noise):
    drawn = diagram(noise=noise)
    rule = phase_diagram.fit_depth_rule(drawn)
    assert rule is not None
    assert rule.agreement.value == pytest.approx(right_by_counting(drawn, rule.constant))
    tried = [right_by_counting(drawn, k / 20) for k in range(1, 700)]
    assert rule.agreement.value == pytest.approx(max(tried))


def test_seeds_of_one_setting_do_not_narrow_the_interval():
    one, six = (phase_diagram.theory_agreement(diagram(seeds=seeds), 5.0) for seeds in (1, 6))
    assert (one.value, one.low, one.high) == (six.value, six.low, six.high) and six.n == 6 * one.n
    wilson = wilson_interval(round((one.value or 0) * one.n), one.n)
    assert (one.low, one.high) == pytest.approx((wilson.low, wilson.high), abs=1e-4)


def test_what_agrees_as_well_is_said():
    rule = phase_diagram.fit_depth_rule(diagram(noise=0.1))
    assert rule is not None
    for constant in (rule.low, rule.high * (1 - 1e-9)):
        assert right_by_counting(diagram(noise=0.1), constant) == pytest.approx(rule.agreement.value)


def test_with_no_border_among_the_runs_there_is_no_rule():
    assert phase_diagram.fit_depth_rule(diagram(constant=1e9)) is None
    assert phase_diagram.fit_depth_rule(diagram(constant=0.0)) is None


def test_what_theory_or_forecast_say_nothing_of_is_not_counted():
    points = (PhasePoint(1, 4, 0, LEARNED), PhasePoint(1, 8, 0, DIVERGED, xi=1.0, learns=0.1))
    drawn = PhaseDiagram("x", points)
    assert phase_diagram.theory_agreement(drawn).n == 1 and phase_diagram.forecast_agreement(drawn).n == 1
    assert (
        phase_diagram.format_agreement(phase_diagram.theory_agreement(PhaseDiagram("x", points[:1])))
        == "none"
    )


def test_a_run_has_one_outcome():
    assert phase_diagram.run_outcome("diverged", True) == DIVERGED
    assert phase_diagram.run_outcome("finished", True) == LEARNED
    assert phase_diagram.run_outcome("finished", False) == AT_CHANCE
    assert phase_diagram.run_outcome("failed", None) is None
