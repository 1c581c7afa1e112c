"""Runs that failed count with the worst value; where all of an arm fail alike, that is how it is set."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import ACCURACY, QUICK, claim, put

from trainlab.claims import claim_figure, claim_page, execution, record_builder, runner
from trainlab.claims import registry as claims
from trainlab.claims.arm_tuning import TUNING_SEED
from trainlab.claims.execution import ClaimInterrupted, ClaimOptions
from trainlab.claims.jobs import ClaimComposer
from trainlab.runs import Result, RunFolder
from trainlab.runs.result import Verdict, run_facts
from trainlab.sweeps import SweepFailed
from trainlab.sweeps.local_engine import LocalEngine
from trainlab.sweeps.outcome import Outcome
from trainlab.terminal import PlainConsole

LEARNS = {"kind": "learns", "says": "A learns", "arm": "A"}
GOAL = {"steps_to": {"metric": "train/loss", "below": 1.0, "window": 1}}
NO_MEMORY = {"type": "MemoryError", "message": "no room\nsecond line", "frames": []}
PROFILES = {"quick": {"overrides": QUICK, "scale": "tiny", "seeds": {"first": 3, "most": 8}}}


class Bench:
    """Runs are written, not trained: `end` says what comes of a depth (A: 1, B: 2) and a seed."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self._folder = folder
        self.started: list[tuple[int, int]] = []
        self.end: Callable[[int, int], dict[str, Any]] = lambda depth, seed: {}
        monkeypatch.setattr(
            LocalEngine, "run", lambda engine, plan, *_: [self._run(plan, j) for j in plan.todo]
        )
        monkeypatch.setattr(execution, "check_architectures", lambda *_: None)

    def _run(self, plan, job) -> Outcome:
        depth, seed = job.settings.depth, job.settings.seed
        self.started.append((depth, seed))
        told = dict(self.end(depth, seed))
        if (status := told.get("status", "finished")) in ("interrupted", "lost"):
            return Outcome(job.run_id, job.label, "interrupted" if status == "interrupted" else "failed")
        losses = told.pop("losses", [0.5])
        accuracy = 0.9 + 0.001 * seed if depth == 1 else 0.5 - 0.002 * seed
        made: dict[str, Any] = {
            "metrics": {"test/acc": accuracy, "val/acc": accuracy}, "steps": 3, "seconds": 1.0,
            "verdict": Verdict(learned=True), "machine": {"device": "cpu", "threads": 1, "cores": 2},
            "git": {"commit": "1234567890"}, "parameters": 100,
        }  # fmt: skip
        if status == "failed":
            made = {"error": NO_MEMORY}
        folder = RunFolder(plan.runs / job.run_id).create()
        with folder.metrics_log() as log:
            log.append((step, 0, "train/loss_step", loss) for step, loss in enumerate(losses))
            log.append([] if status == "failed" else [(3, 0, "val/acc", accuracy)])
        with folder.signals_log() as log:
            log.append([] if status == "failed" else [(0, "conv", "preactivation_std", 1.0)])
        made |= run_facts(job.settings, guessing=None if status == "failed" else 0.11)
        folder.finish(Result(**{"status": status, **made, **told}))
        return Outcome(job.run_id, job.label, status)

    def run(self, **changes):
        """A record and its page."""
        content = claim(**{"arms": {"A": ["depth=1"], "B": ["depth=2"]}, "profiles": PROFILES, **changes})
        put(self._folder, "mine", content)
        [entry] = claims.load_claims(self._folder)
        options = ClaimOptions("quick", self._folder / "runs")
        result = runner.run_claim(entry, options, ClaimComposer(), None, PlainConsole(file=io.StringIO()))  # type: ignore[arg-type]
        record = record_builder.build_record(result)
        self.figure = claim_figure.draw_claim_figure(result, entry.claim.figure).to_dict()
        return record, claim_page.claim_page(record, has_figure=False)


@pytest.fixture
def bench(tmp_path, shared_cache, monkeypatch):
    monkeypatch.setenv("TRAINLAB_CACHE", str(shared_cache))
    return Bench(tmp_path, monkeypatch)


def failing(*runs: tuple[int, int]):
    return lambda depth, seed: {"status": "failed"} if (depth, seed) in runs else {}


def test_a_run_that_failed_counts_as_guessing_and_is_counted_on_the_page(bench):
    """It stopped the claim."""
    bench.end = failing((2, 1))
    record, page = bench.run()
    arms = {arm.arm: arm for arm in record.arms}
    count = arms["B"].n
    assert arms["B"].statuses == {"finished": count - 1, "failed": 1}
    kept = [0.5 - 0.002 * seed for seed in range(count) if seed != 1]
    assert arms["B"].test_accuracy.value == pytest.approx((sum(kept) + 0.11) / count)
    assert arms["B"].parameters == 100 and record.commits == ["1234567"]
    assert f"1 of {count} B: failed" in page and "1 failed" in page


@pytest.mark.parametrize(
    "figure", [{"kind": "heat_map"}, {"kind": "curves"}, {"kind": "arms", "of": ACCURACY}]
)
def test_a_figure_is_drawn_of_the_runs_that_did_not_fail(bench, figure):
    """A heat map was that of the first seed, whatever had become of it."""
    bench.end = failing((1, 0), (2, 0))
    bench.run(figure={"title": "t", **figure})
    if figure["kind"] == "heat_map":
        assert "seed 1; " in str(bench.figure["title"])


def test_a_run_that_failed_has_not_learned(bench):
    bench.end = failing((1, 0))
    record, page = bench.run(expectations=[LEARNS])
    [found] = record.expectations
    assert found.observed.startswith("A: 7 of 8 learned") and "1 of 8 A: failed" in page


def test_where_all_runs_of_an_arm_fail_alike_the_reason_is_said_in_one_line(bench):
    bench.end = failing((2, 0), (2, 1), (2, 2))
    with pytest.raises(SweepFailed) as told:
        bench.run()
    assert str(told.value) == (
        "claim mine, arm 'B': all 3 runs failed: MemoryError: no room; --retry-failed runs them again"
    )
    assert len(bench.started) == 6
    with pytest.raises(SweepFailed, match="all 3 runs failed"):  # they are not run again without being asked
        bench.run()
    assert len(bench.started) == 6


def test_a_run_without_a_record_and_an_interrupt_stop_the_claim(bench):
    bench.end = lambda depth, seed: {"status": "lost"} if (depth, seed) == (2, 1) else {}
    with pytest.raises(SweepFailed, match="not all runs are done"):
        bench.run()
    bench.end = lambda depth, seed: {"status": "interrupted"}
    with pytest.raises(ClaimInterrupted):
        bench.run()


def test_a_run_that_failed_while_tuning_costs_its_value_one_seed(bench):
    tune = {"setting": "optimizer.lr", "values": [0.001, 0.003, 0.01], "seeds": 3, "arms": ["B"]}
    bench.end = failing((2, TUNING_SEED))
    record, page = bench.run(tune=tune)
    assert [tried.worst for tried in record.tuned["B"].tried] == [1, 1, 1]
    assert "(1 diverged or failed, 2 of 3 learned)" in page
    bench.end = lambda depth, seed: {"status": "failed"} if seed >= TUNING_SEED else {}
    with pytest.raises(SweepFailed, match="arm 'A': all 9 runs failed: MemoryError"):
        bench.run(tune={**tune, "arms": ["A"]})


def learned(by_seed: str):
    """Of arm A, by seed; the last for all further."""
    return lambda depth, seed: {"verdict": Verdict(learned=depth == 2 or by_seed[seed:][:1] != "0")}


@pytest.mark.parametrize(("by_seed", "seeds"), [("011", 3), ("11110", 5)])
def test_seeds_end_where_none_can_make_a_mean_testable_and_the_page_says_so(bench, by_seed, seeds):
    """All eight were run, and the verdict was the same."""
    bench.end = learned(by_seed)
    record, page = bench.run(expectations=[{**claim()["expectations"][0], "by": 0.4045}])
    assert len(bench.started) == 2 * seeds
    assert f"a mean over both kinds says nothing of either; stopped after {seeds} of 8 seeds" in page
    assert record.verdict == "not enough evidence" and record.e_for == 1.0


def test_an_arm_that_reached_a_goal_now_and_then_has_its_counts_and_no_test(bench):
    bench.end = lambda depth, seed: {"losses": [3.0] * 50 if depth == 1 and seed != 2 else [2.0, 0.9]}
    slower = {"kind": "more", "says": "A is slower", "more": "A", "than": "B", "of": GOAL}
    record, page = bench.run(expectations=[slower])
    assert record.e_for == 1.0 and "A: 1 of 3 reached the goal" in page
    declared = {"steps_to": {**GOAL["steps_to"], "not_reached": "longest_run"}}
    record, page = bench.run(expectations=[{**slower, "of": declared}])
    assert record.reason == "" and record.e_for > 1 and "A: not reached" in page


def test_the_cells_of_a_grid_that_failed_did_not_learn(bench, monkeypatch):
    from trainlab.analysis.phase_diagram import LEARNED, PhaseDiagram, PhasePoint
    from trainlab.claims.source_evaluator import SourceEvaluator

    finished = PhaseDiagram("init.sigma_w2", (PhasePoint(1.0, 1, 0, LEARNED, 2.0),), (), 0.5)
    monkeypatch.setattr(SourceEvaluator, "phase_diagram", lambda *_: finished)
    seen: list[PhasePoint] = []
    monkeypatch.setattr(runner, "phase_boundary_by_seed", lambda _, points: seen.extend(points) or [0.6, 0.7])
    bench.end = failing((2, 1))
    grid = {"scale": "optimizer.lr", "scales": [1.0, 2.0], "depths": [1, 2]}
    boundary = {"kind": "boundary", "says": "so", "measure": "agreement", "at_least": 0.5}
    bench.run(
        arms={}, grid=grid, expectations=[boundary], common=["init=glorot"],
        figure={"kind": "phase_diagram", "title": "t"},
    )  # fmt: skip
    failed = {(p.scale, p.depth, p.seed, p.learned, p.xi) for p in seen if p not in finished.points}
    assert failed == {(1.0, 2, 1, False, 2.0), (2.0, 2, 1, False, None)}
