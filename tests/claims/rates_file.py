"""A file of the proof kit as it is written on a card, with rates that no card has."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.gpu import report
from benchmarks.gpu.outcome import Figure, Outcome

LENET = {
    "one after the other": [1.0, 0.9, 1.1], "one after the other + graph": [4.0], "4 processes": [3.0],
    "stack of 8": [10.0], "stack of 8 + graph": [20.0, 16.0], "stack of 32": [40.0],
}  # fmt: skip
PLAIN_CNN = {"one after the other": [0.5], "stack of 32": [10.0]}
RATES = {"LeNet-5": LENET, "plain_cnn": PLAIN_CNN}
SWEEPS = [
    Figure("LeNet-5: one after the other", 3.0, "s a network of 1000 steps"),
    Figure("LeNet-5: stack of 32", 0.125, "s a network of 1000 steps"),
    Figure("LeNet-5: stack of 32 over one after the other", 24.0, "×", 10.0),
]
PRODUCT = Figure("matrix product, in the precision of training", 400.0, "TFLOP/s")


def write_rates(path: Path, rates: Mapping = RATES, device: str = "gpu", sweeps=SWEEPS) -> Path:
    """The kit's own writer writes it."""
    ended = [
        Outcome("card", "which card", "measured", details={"name": "A Card 80GB"}),
        Outcome("networks/s", "how many", "measured", details={"networks_per_second": rates}),
        Outcome("step and memory", "how much", "measured", figures=[PRODUCT]),
        Outcome("sweeps", "how long", "passed", figures=list(sweeps)),
    ]
    report.write(path, ended, {"device": device, "seconds": 1.0})
    return path
