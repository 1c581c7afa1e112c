"""What a plan costs: the steps of the run itself, measured as often as the run measures."""

import pytest

from trainlab.runs import Result, RunFolder
from trainlab.signals.schedule import measured_steps
from trainlab.sweeps import estimate
from trainlab.training import assemble


@pytest.mark.parametrize("steps", [40, 300, 5000, 100_000])
@pytest.mark.parametrize("signals", [True, 100])
def test_the_probe_measures_the_share_of_steps_that_the_run_does(steps, signals):
    share = len(measured_steps(signals, steps)) / steps
    probed = estimate._signals(signals, steps)
    assert abs(int(probed) / estimate.PROBE_STEPS - share) <= 0.5 / estimate.PROBE_STEPS
    assert estimate._signals(False, steps) is False


@pytest.mark.parametrize(
    "budget", ["trainer.max_epochs=3", "trainer.max_steps=7", "trainer.max_epochs=2 trainer.max_steps=9"]
)
def test_steps_are_counted_by_the_formula_of_the_run(settings, budget, monkeypatch):
    frozen = settings(*budget.split())

    def work(config, **_):
        """Trains nothing and says that it took a second for thirty steps."""
        folder = RunFolder(config.parent)
        rate = estimate.PROBE_STEPS * frozen["data"]["batch_size"]
        folder.finish(Result(run_id=folder.run_id, status="finished", samples_per_second=rate, steps=30))
        return 0

    monkeypatch.setattr("trainlab.training.worker.work", work)
    probe = estimate.probe(frozen)
    assert probe.total_steps == assemble.total_steps(frozen, assemble.images(frozen))
    assert probe.step_seconds == pytest.approx(1 / estimate.PROBE_STEPS)
