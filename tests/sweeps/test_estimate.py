"""What a plan costs: the steps of the run itself, measured as often as the run measures."""

import pytest

from trainlab.build.data import load_data
from trainlab.build.optimizer import total_steps
from trainlab.runs import Result, RunFolder
from trainlab.signals.measured_steps import measured_steps
from trainlab.sweeps import estimate


@pytest.mark.parametrize("steps", [40, 300, 5000, 100_000])
@pytest.mark.parametrize("signals", [True, 100])
def test_the_probe_measures_the_share_of_steps_that_the_run_does(steps, signals):
    share = len(measured_steps(signals, steps)) / steps
    probed = estimate._trial_signals(signals, steps)
    assert abs(int(probed) / estimate.TRIAL_STEPS - share) <= 0.5 / estimate.TRIAL_STEPS
    assert estimate._trial_signals(False, steps) is False


@pytest.mark.parametrize(
    "budget", ["trainer.max_epochs=3", "trainer.max_steps=7", "trainer.max_epochs=2 trainer.max_steps=9"]
)
def test_steps_are_counted_by_the_formula_of_the_run(settings, budget, monkeypatch):
    frozen = settings(*budget.split())

    def work(config, **_):
        """Trains nothing and says that it took a second for thirty steps."""
        folder = RunFolder(config.parent)
        rate = estimate.TRIAL_STEPS * frozen.data.batch_size
        folder.finish(Result(run_id=folder.run_id, status="finished", samples_per_second=rate, steps=30))
        return 0

    monkeypatch.setattr("trainlab.training.worker.run_config_file", work)
    probe = estimate.time_trial(frozen)
    assert probe is not None
    assert probe.total_steps == total_steps(frozen, load_data(frozen))
    assert probe.step_seconds == pytest.approx(1 / estimate.TRIAL_STEPS)
