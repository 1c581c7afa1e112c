"""What the platform chooses for itself (memory layout, kernels) against torch's defaults."""

from benchmarks import hand_loop, platform_run
from benchmarks.contender import Contender
from benchmarks.measure import Measure
from benchmarks.rounds import interleaved, median_ratio, medians
from benchmarks.workspace import Workspace

AT_LEAST = {1: 1.15, 2: 1.5}
"""Threads → ratio to reach."""


def measure(workspace: Workspace) -> list[Measure]:
    """plain_cnn of 16-32-64 maps on CIFAR-10 against a loop by hand in torch's default layout."""
    workspace.need("cifar10")
    return [_with_threads(workspace, threads, at_least) for threads, at_least in AT_LEAST.items()]


def _with_threads(workspace: Workspace, threads: int, at_least: float) -> Measure:
    steps, count = (5, 2) if workspace.quick else (100, 5)
    overrides = [
        "model=plain_cnn", "depth=4", "width=16", "data=cifar10", "data.val_size=1000",
        f"data.train_size={steps * hand_loop.BATCH_SIZE}", "data.test_size=1000", "trainer=cpu",
        f"trainer.threads={threads}", "trainer.max_epochs=1", "logger=wandb", "signals=off",
        *workspace.paths(f"layout-{threads}"),
    ]  # fmt: skip
    hand = (hand_loop.loop, hand_loop.plain_cnn, overrides, steps, False, False)
    log = workspace.log
    with (
        Contender(platform_run.trainer, overrides, log=log, threads=threads, terminal=True) as platform,
        Contender(*hand, log=log, threads=threads) as by_hand,
    ):
        rounds = interleaved({"platform": platform.round, "by hand": by_hand.round}, count)
    return Measure(
        name=f"plain_cnn against torch's default layout, {threads} thread{'s' * (threads > 1)}",
        question="training samples/s of a whole run over those of a loop by hand in torch's default layout",
        unit="×",
        value=median_ratio(rounds["platform"], rounds["by hand"]),
        at_least=at_least,
        rounds=rounds,
        rounds_unit="samples/s",
        medians=medians(rounds),
    )
