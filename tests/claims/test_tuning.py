"""Each arm gets the candidate that is best for it: on validation, on seeds that no arm is judged by."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny import claim, put

from trainlab.claims import arm_tuning, claim_tables, record_builder
from trainlab.claims import registry as claims
from trainlab.claims.execution import ClaimOptions, ExecutionContext
from trainlab.claims.jobs import ClaimComposer
from trainlab.claims.registry import parse_claim
from trainlab.errors import RequestError
from trainlab.runs import Result, RunFolder
from trainlab.runs.result import Verdict

SLOW, FAST = ["optimizer.lr=1e-4"], ["optimizer.lr=1e-2"]
LADDER = {"setting": "optimizer.lr", "values": [0.001, 0.003, 0.01], "seeds": 2}


def tuned_claim(**changes):
    content = claim(tune={"candidates": [SLOW, FAST], **changes} if "setting" not in changes else changes)
    content["arms"] = {"A": ["depth=1"], "B": ["depth=2"]}
    return content


def best_slow_for_a(depth: int, rate: float) -> float:
    """A is best slow, B best fast."""
    return 0.9 if (rate < 1e-3) == (depth == 1) else 0.5


class Bench:
    """Runs are written, not trained: `accuracy` says what comes of a depth and a rate, None: it diverges."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self._folder = folder
        self.seen: list = []
        self.accuracy = best_slow_for_a
        self.learns = lambda accuracy: accuracy > 0.2
        self.data: dict = {"guessing": 0.1}
        self.settings: dict = {}
        monkeypatch.setattr(arm_tuning, "run_jobs", self.run)

    def run(self, _entry, jobs, _context):
        folders = {}
        for job in jobs:
            self.seen.append(job)
            values = {str(override.key_or_group): override.value() for override in job.overrides}
            accuracy = self.accuracy(values["depth"], values["optimizer.lr"])
            if callable(accuracy):
                accuracy = accuracy(job.seed)
            folder = RunFolder(self._folder / "runs" / f"{len(self.seen)}").create()
            folder.write_settings(self.settings)
            folder.finish(
                Result(
                    run_id=f"{len(self.seen)}", seconds=1.0,
                    status="diverged" if accuracy is None else "finished", data=self.data,
                    metrics={"val/acc": 0.99 if accuracy is None else accuracy, "test/acc": 1.0},
                    verdict=Verdict(learned=accuracy is not None and self.learns(accuracy)),
                )
            )  # fmt: skip
            folders.setdefault(job.arm, {})[job.seed] = folder.path
        return folders

    def tune(self, content):
        put(self._folder, "mine", content)
        (entry,) = claims.load_claims(self._folder)
        options = ClaimOptions("quick", self._folder / "runs")
        context = ExecutionContext(options, ClaimComposer(), None, None)  # type: ignore[arg-type]
        return arm_tuning.tune_arms(entry, context)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return Bench(tmp_path, monkeypatch)


def test_each_arm_gets_what_is_best_for_it_on_validation(bench):
    tuned, choices = bench.tune(tuned_claim(seeds=2))
    assert tuned.claim.arms == {"A": ["depth=1", *SLOW], "B": ["depth=2", *FAST]}
    assert choices["A"].best == SLOW and choices["B"].best == FAST
    assert [trial.accuracy for trial in choices["A"].trials] == [0.9, 0.5]
    assert choices["A"].seconds == 4.0 and choices["A"].edge is None  # candidates have no edges


def test_candidates_are_tried_on_seeds_that_no_arm_is_judged_by(bench):
    tuned, _ = bench.tune(tuned_claim(seeds=2))
    tried = {job.seed for job in bench.seen}
    assert tried == {arm_tuning.TUNING_SEED, arm_tuning.TUNING_SEED + 1}
    assert not tried & set(range(tuned.claim.profiles.quick.seeds.most))
    assert len(bench.seen) == 2 * 2 * 2


def test_the_split_follows_the_seed_in_tuning_too(bench):
    bench.tune(tuned_claim(seeds=2))
    for job in bench.seen:
        values = {str(override.key_or_group): override.value() for override in job.overrides}
        assert values["data.split_seed"] == values["seed"] == job.seed


def test_what_diverged_is_chosen_last(bench):
    bench.accuracy = lambda depth, rate: None if rate == 1e-4 else 0.3
    _, choices = bench.tune(tuned_claim())
    assert choices["A"].best == FAST
    assert choices["A"].trials[0].accuracy == 0.1 and choices["A"].trials[0].worst == 1


def test_a_run_that_diverged_counts_as_guessing_and_leaves_the_others_of_its_value(bench):
    """It counted −∞: a value at which one run of three diverged was never chosen."""
    bench.accuracy = lambda _depth, rate: (
        lambda seed: None if seed == 1000 and rate > 1e-3 else 10 * rate**0.5
    )
    _, choices = bench.tune(tuned_claim(seeds=3))
    assert choices["A"].best == FAST  # (0.1 + 1 + 1) / 3, against 0.1
    assert choices["A"].trials[1].accuracy == pytest.approx(2.1 / 3) and choices["A"].trials[1].worst == 1


@pytest.mark.parametrize(
    ("data", "settings", "guess"),
    [({"guessing": 0.25}, {}, 0.25), ({}, {"data": {"num_classes": 20}}, 0.05), ({}, {}, 0.0)],
)
def test_where_every_run_diverged_it_is_the_guessing_of_their_data_or_one_in_k(bench, data, settings, guess):
    bench.data, bench.settings, bench.accuracy = data, settings, lambda depth, rate: None
    _, choices = bench.tune(tuned_claim(seeds=2))
    assert [trial.accuracy for trial in choices["A"].trials] == [guess, guess]
    assert [trial.worst for trial in choices["A"].trials] == [2, 2]


# A ladder


def peak_at(best: float):
    return lambda _depth, rate: 0.9 - 0.1 * abs(math.log10(rate / best))


def test_a_ladder_is_widened_where_the_best_is_at_an_edge_and_only_for_that_arm(bench):
    bench.accuracy = lambda depth, rate: peak_at(0.003 if depth == 1 else 0.1)(depth, rate)
    tuned, choices = bench.tune(tuned_claim(**LADDER))
    assert [trial.candidate for trial in choices["A"].trials] == [
        ["optimizer.lr=0.001"], ["optimizer.lr=0.003"], ["optimizer.lr=0.01"]
    ]  # fmt: skip
    assert [trial.candidate[0] for trial in choices["B"].trials][3:] == [
        "optimizer.lr=0.03", "optimizer.lr=0.1", "optimizer.lr=0.3"
    ]  # fmt: skip
    assert tuned.claim.arms["B"] == ["depth=2", "optimizer.lr=0.1"]
    assert choices["A"].edge is None and choices["B"].edge is None
    assert len(bench.seen) == 2 * (3 + 6)  # nothing is tried twice


@pytest.mark.parametrize(
    ("best", "edge", "last"), [(1e3, "high", "optimizer.lr=0.1"), (1e-9, "low", "optimizer.lr=0.0001")]
)
def test_an_arm_whose_best_stays_at_an_edge_is_not_tuned(bench, best, edge, last):
    bench.accuracy = peak_at(best)
    _, choices = bench.tune(tuned_claim(**LADDER, most=5))
    assert choices["A"].edge == edge and len(choices["A"].trials) == 5
    assert choices["A"].best == [last]
    assert choices["A"].edge_text.startswith(f"not tuned: {last} is the ")


def rates(outcome):
    return [float(trial.candidate[0].partition("=")[2]) for trial in outcome.trials]


@pytest.mark.parametrize(
    ("most", "tried"),
    [
        (3, [0.001, 0.003, 0.01]),
        (4, [0.0003, 0.001, 0.003, 0.01]),
        (6, [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03]),
        (7, [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]),
    ],
)
def test_where_nothing_learns_both_sides_are_tried_and_then_the_middle_is_taken(bench, most, tried):
    """It counted as tuned after the first values."""
    bench.accuracy = lambda depth, rate: 0.1 + rate  # noise, best at the edge
    bench.learns = lambda accuracy: False
    _, choices = bench.tune(tuned_claim(**LADDER, most=most))
    assert rates(choices["A"]) == tried
    assert choices["A"].best == [f"optimizer.lr={tried[(most - 1) // 2]:g}"]
    assert choices["A"].edge is None and choices["A"].none_learned
    assert choices["A"].note == f"learned at none of {most} values; the middle one was taken"
    assert len(bench.seen) == 2 * 2 * most  # nothing is tried twice


def test_what_learns_only_beyond_the_first_values_is_found(bench):
    bench.accuracy = lambda depth, rate: 0.9 if rate == 0.1 else 0.1
    _, choices = bench.tune(tuned_claim(**LADDER, most=9))
    assert rates(choices["A"]) == [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    assert choices["A"].best == ["optimizer.lr=0.1"] and choices["A"].edge is None and not choices["A"].note


def test_the_page_and_the_record_say_that_an_arm_learned_at_none(bench):
    bench.accuracy = lambda depth, rate: None if rate > 0.02 else 0.1
    _, choices = bench.tune(tuned_claim(**LADDER, most=5))
    tuned = {arm: record_builder.tuning_record(outcome) for arm, outcome in choices.items()}
    assert tuned["A"].none_learned and tuned["A"].note.startswith("learned at none of 5 values")
    page = claim_tables.tuning_table(SimpleNamespace(tuned=tuned))  # type: ignore[arg-type]
    assert "A: learned at none of 5 values; the middle one was taken." in page
    assert page.count("(2 diverged or failed)") == 2  # one value of each arm


def test_of_equals_the_middlemost_is_taken(bench):
    bench.accuracy = lambda depth, rate: 1.0
    _, choices = bench.tune(tuned_claim(**LADDER))
    assert choices["A"].best == ["optimizer.lr=0.003"] and choices["A"].edge is None


@pytest.mark.parametrize(
    ("values", "below", "above"),
    [([0.001, 0.003, 0.01], 0.0003, 0.03), ([0.003, 0.01, 0.03, 0.1, 0.3], 0.001, 1.0), ([1, 2, 4], 0.5, 8)],
)
def test_a_ladder_goes_on_by_its_own_ratio(values, below, above):
    assert (arm_tuning.next_below(values), arm_tuning.next_above(values)) == (below, above)


# What a file may say


def test_only_the_arms_that_are_named_are_tuned():
    assert parse_claim(tuned_claim(arms=["B"]), "mine").tuned_arms == ["B"]
    assert parse_claim(tuned_claim(), "mine").tuned_arms == ["A", "B"]
    assert parse_claim(claim(), "mine").tuned_arms == []


def test_an_arm_that_is_not_there_cannot_be_tuned():
    with pytest.raises(RequestError, match="unknown arm in tune 'C': available: A, B"):
        parse_claim(tuned_claim(arms=["C"]), "mine")


def test_one_candidate_is_no_choice():
    with pytest.raises(RequestError, match=r"tune\.candidates"):
        parse_claim(tuned_claim(candidates=[SLOW]), "mine")


def test_check_composes_every_candidate(tmp_path):
    from trainlab.claims import jobs

    put(tmp_path, "mine", tuned_claim(candidates=[SLOW, ["optimizer.lr=-1"]]))
    with pytest.raises(RequestError, match=r"arm .A., profile quick: optimizer\.lr"):
        jobs.check_claims(claims.load_claims(tmp_path))
