"""Each arm gets the candidate that is best for it: on validation, on seeds that no arm is judged by."""

import math
from pathlib import Path

import pytest
from tiny import claim, put

from trainlab.claims import execution
from trainlab.claims import registry as claims
from trainlab.claims.execution import ClaimOptions, ExecutionContext
from trainlab.claims.jobs import ClaimComposer
from trainlab.claims.registry import parse_claim
from trainlab.errors import RequestError
from trainlab.runs import Result, RunFolder

SLOW, FAST = ["optimizer.lr=1e-4"], ["optimizer.lr=1e-2"]


def tuned_claim(**changes):
    return claim(tune={"candidates": [SLOW, FAST], **changes})


def accuracy_of(overrides) -> float | None:
    """Of a run that was never trained: A is best slow, B best fast."""
    values = {str(override.key_or_group): override.value() for override in overrides}
    return 0.9 if (values["optimizer.lr"] < 1e-3) == (values["depth"] == 1) else 0.5


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Runs are written, not trained."""
    content = tuned_claim(seeds=2)
    content["arms"] = {"A": ["depth=1"], "B": ["depth=2"]}
    put(tmp_path, "mine", content)
    seen = []

    def sweep(_entry, jobs, _bench):
        folders = {}
        for job in jobs:
            seen.append(job)
            folder = RunFolder(tmp_path / "runs" / f"{job.arm} {job.seed}").create()
            metrics = {
                "val/acc": accuracy_of(job.overrides),
                "test/acc": 1 - (accuracy_of(job.overrides) or 0),
            }
            folder.finish(
                Result(run_id=f"{job.arm} {job.seed}", status="finished", metrics=metrics, seconds=1.0)
            )
            folders.setdefault(job.arm, {})[job.seed] = folder.path
        return folders

    monkeypatch.setattr(execution, "run_jobs", sweep)
    (entry,) = claims.load_claims(tmp_path)
    setup = ClaimOptions("quick", Path(tmp_path / "runs"))
    return entry, ExecutionContext(setup, ClaimComposer(), None, None), seen  # type: ignore[arg-type]


def test_each_arm_gets_what_is_best_for_it_on_validation(bench):
    entry, made, _ = bench
    tuned, choices = execution.tune_arms(entry, made)
    assert tuned.claim.arms == {"A": ["depth=1", *SLOW], "B": ["depth=2", *FAST]}
    assert choices["A"].best == SLOW and choices["B"].best == FAST
    assert choices["A"].accuracies == [0.9, 0.5]
    assert choices["A"].seconds == 4.0


def test_candidates_are_tried_on_seeds_that_no_arm_is_judged_by(bench):
    entry, made, seen = bench
    execution.tune_arms(entry, made)
    tried = {job.seed for job in seen}
    assert tried == {execution.TUNING_SEED, execution.TUNING_SEED + 1}
    judged = range(entry.claim.profiles.quick.seeds.most)
    assert not tried & set(judged)
    assert len(seen) == 2 * 2 * 2


def test_what_diverged_is_chosen_last(tmp_path, bench, monkeypatch):
    entry, made, _ = bench
    folders = {}
    for number, (status, accuracy) in enumerate([("diverged", 0.99), ("finished", 0.2)], start=1):
        folder = RunFolder(tmp_path / "other" / str(number)).create()
        folder.finish(Result(run_id=str(number), status=status, metrics={"val/acc": accuracy}))
        for arm in "AB":
            folders[f"{arm}, candidate {number}"] = {execution.TUNING_SEED: folder.path}
    monkeypatch.setattr(execution, "run_jobs", lambda *_: folders)
    _, choices = execution.tune_arms(entry, made)
    assert choices["A"].best == FAST
    assert choices["A"].accuracies[0] == -math.inf


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
