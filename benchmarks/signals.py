"""What `signals=on` costs: a measured step's extra time, shared out over a run at the default schedule."""

from benchmarks import platform_run
from benchmarks.contender import Contender
from benchmarks.measure import Measure
from benchmarks.rounds import interleaved, median_ratio, medians
from benchmarks.workspace import Workspace
from trainlab.signals.measured_steps import measured_steps

AT_MOST_PERCENT = 3.0
EPOCH_STEPS = 430
"""Steps of one epoch of MNIST or CIFAR-10 at batch 128: the shortest run that people do."""
NETWORKS = {
    "lenet5 on MNIST": ("model=lenet5", "data=mnist"),
    "plain_cnn on CIFAR-10": ("model=plain_cnn", "data=cifar10"),
    "plain_cnn with BatchNorm, depth 12, on CIFAR-10": (
        "model=plain_cnn", "data=cifar10", "depth=12", "norm_layer=batchnorm"
    ),
}  # fmt: skip


def measure(workspace: Workspace) -> list[Measure]:
    """Runs that measure every step against runs that measure none.

    What is measured at ten steps of 430 would drown in the machine's noise; at every step it does not.
    """
    workspace.need("mnist")
    workspace.need("cifar10")
    return [_of(workspace, name, network) for name, network in NETWORKS.items()]


def _of(workspace: Workspace, name: str, network: tuple[str, ...]) -> Measure:
    steps, count = (4, 2) if workspace.quick else (40, 5)
    overrides = [
        *network, f"data.train_size={steps * 128}", "data.val_size=1000", "data.test_size=1000",
        "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=1", "logger=wandb",
    ]  # fmt: skip

    def runs(signals: str) -> Contender:
        # whether signals are measured is no part of a run's identity: the two need a folder each
        place = workspace.paths(f"{name.split()[0]}-{len(network)}-signals-{signals}")
        asked = [*overrides, f"signals={signals}", *place]
        return Contender(platform_run.trainer, asked, log=workspace.log, terminal=True)

    with runs("off") as off, runs(str(steps)) as every:
        rounds = interleaved({"off": off.round, "every step": every.round}, count)
    extra = median_ratio(rounds["off"], rounds["every step"]) - 1
    measured = len(measured_steps(True, EPOCH_STEPS))
    return Measure(
        name=f"signals: {name}",
        question=f"training time that {measured} measured steps (the default schedule) add to an epoch of "
        f"{EPOCH_STEPS}, W&B's mirror included",
        unit="%",
        value=100 * extra * measured / EPOCH_STEPS,
        at_most=AT_MOST_PERCENT,
        rounds=rounds,
        rounds_unit="samples/s",
        medians=medians(rounds),
        details={"extra_steps_per_measured_step": extra},
    )
