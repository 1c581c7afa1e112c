"""trainlab shows why a convolutional network learns or does not.

    trainlab.preflight(model, batches, optimizer=…)   will it learn? measured before any training
    trainlab.check(model, loss, (x, y), optimizer)     one step of a loop of your own: is it wired to learn?
    trainlab.check_data(train_loader, test_loader)     labels, order, images, and how the splits differ
    trainlab.watch(model, optimizer)                   says why it does not learn, in any training loop
    trainlab.Doctor()                                  the same as a callback of Lightning
    trainlab.explain("runs/1a2b3c4d5e6f")              why a recorded run learned or did not
    trainlab.load_runs("runs")                         recorded runs as a polars table
    trainlab.anatomy(model, (1, 28, 28))               the layer table of any network
    trainlab.theory.mean_field                         what signal propagation predicts

All are imported on first use.
"""

from typing import TYPE_CHECKING

from trainlab.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from trainlab import theory
    from trainlab.diagnosis.run_diagnosis import explain
    from trainlab.doctor.data_check import check_data
    from trainlab.doctor.lightning_callback import Doctor
    from trainlab.doctor.step_check import check
    from trainlab.doctor.watch import watch
    from trainlab.forecast.preflight import preflight
    from trainlab.models.anatomy import anatomy
    from trainlab.runs.run_table import load_runs

__version__ = "0.1.0"

__all__ = ["Doctor", "anatomy", "check", "check_data", "explain", "load_runs", "preflight", "theory", "watch"]

if not TYPE_CHECKING:  # else every missing name would be an object to a type checker
    __getattr__, __dir__ = lazy_attributes(
        __name__,
        {
            "trainlab.diagnosis.run_diagnosis": ["explain"],
            "trainlab.doctor.data_check": ["check_data"],
            "trainlab.doctor.step_check": ["check"],
            "trainlab.doctor.lightning_callback": ["Doctor"],
            "trainlab.doctor.watch": ["watch"],
            "trainlab.forecast.preflight": ["preflight"],
            "trainlab.models.anatomy": ["anatomy"],
            "trainlab.runs.run_table": ["load_runs"],
        },
        subpackages=["theory"],
    )
