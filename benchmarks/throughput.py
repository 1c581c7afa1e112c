"""One run against a loop by hand, and against the pipeline that people write."""

from contextlib import ExitStack

from benchmarks import hand_loop, platform_run
from benchmarks.contender import Contender
from benchmarks.measure import Measure
from benchmarks.rounds import interleaved, median_ratio, medians
from benchmarks.workspace import Workspace


def measure(workspace: Workspace) -> list[Measure]:
    """LeNet-5 on MNIST, batch 128, one thread: a whole run's samples/s over the others'.

    The loop by hand has the platform's memory layout, Adam kernel and allocator's setting: what is measured
    is what the platform costs. "As it comes" has the layout alone.
    """
    workspace.need("mnist")
    steps, count = (15, 2) if workspace.quick else (400, 5)
    samples = steps * hand_loop.BATCH_SIZE
    overrides = [
        "model=lenet5", "data=mnist", f"data.train_size={samples}", "data.val_size=1000",
        "data.test_size=1000", "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=1", "logger=wandb",
        "signals=off", *workspace.paths(),
    ]  # fmt: skip
    hand = (hand_loop.loop, hand_loop.lenet5, overrides, steps, True)
    usual = (_usual, str(workspace.data), str(workspace.folder), samples)
    with ExitStack() as processes:

        def contender(*made: object, terminal: bool = False) -> Contender:
            return processes.enter_context(Contender(*made, log=workspace.log, terminal=terminal))  # type: ignore[arg-type]

        platform = contender(platform_run.trainer, overrides, terminal=True)
        contenders = {
            "platform": platform.round,
            "by hand": contender(*hand, True).round,
            "by hand, as it comes": contender(*hand, False).round,
            "usual pipeline": contender(*usual, terminal=True).round,
        }
        rounds = interleaved(contenders, count)
    return [
        _against("by hand", rounds, "lenet5 against a loop by hand", 0.92),
        _against("by hand, as it comes", rounds, "lenet5 against a loop by hand, not tuned"),
        _against("usual pipeline", rounds, "lenet5 against DataLoader and Lightning", 2.3),
    ]


def _usual(data: str, folder: str, samples: int) -> object:
    """Its imports are its own process's."""
    from benchmarks import usual_pipeline

    return usual_pipeline.trainer(data, folder, samples)


def _against(other: str, rounds: dict[str, list[float]], name: str, at_least: float | None = None) -> Measure:
    pair = {key: rounds[key] for key in ("platform", other)}
    return Measure(
        name=name,
        question=f"training samples/s of a whole run (offline W&B, terminal) over those of: {other}",
        unit="×",
        value=median_ratio(pair["platform"], pair[other]),
        at_least=at_least,
        rounds=pair,
        rounds_unit="samples/s",
        medians=medians(pair),
    )
