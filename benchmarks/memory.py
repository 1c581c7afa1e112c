"""How often the images lie in memory while several slots train on them."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contender import Contender
from benchmarks.measure import Measure, Skipped
from benchmarks.workspace import Workspace
from trainlab.build.data import build_datamodule, load_data


def measure(workspace: Workspace) -> list[Measure]:
    """Slots that have each read every training image of CIFAR-10, all alive at once."""
    workspace.need("cifar10")
    if not Path("/proc/self/smaps").exists():
        raise Skipped("proportional memory is read from /proc, which this system has not")
    slots = 2 if workspace.quick else 4
    overrides = ["data=cifar10", *workspace.paths()]
    with ExitStack() as processes:
        running = [
            processes.enter_context(Contender(reader, overrides, log=workspace.log)) for _ in range(slots)
        ]
        for process in running:
            process.round()
        shares = [process.round() for process in running]  # once all have read everything
    images_bytes = shares[0]["images_bytes"]
    mapped = sum(share["mapped_bytes"] for share in shares)
    grown = [share["private_growth_bytes"] for share in shares]
    held = (mapped + sum(max(0, growth) for growth in grown)) / images_bytes
    return [
        Measure(
            name=f"memory of {slots} slots on CIFAR-10",
            question="memory that the slots together hold because of the images (their share of the mapped "
            "file, and whatever each of them has copied), over the size of the training images",
            unit="× the images",
            value=held,
            at_most=1.5,
            details={
                "images_mib": images_bytes / 2**20,
                "mapped_mib": mapped / 2**20,
                "private_growth_mib": [growth / 2**20 for growth in grown],
            },
        )
    ]


def reader(overrides: list[str]) -> Callable[[], dict[str, int]]:
    """A slot's data path: an epoch of batches, all kept within reach; returns what it holds in memory."""
    from trainlab.config import compose
    from trainlab.training.environment import configure_process

    configure_process()
    settings = compose(overrides)
    images = load_data(settings)
    loader = build_datamodule(settings, images).train_dataloader()
    next(iter(loader))  # what torch takes for its first batch is no part of the images
    before = _smaps()["private"]

    def do_round() -> dict[str, int]:
        for _ in loader:
            pass
        now = _smaps()
        return {
            "images_bytes": images.train.x_NHWC[0].nbytes * len(images.train),
            "mapped_bytes": now["images"],
            "private_growth_bytes": now["private"] - before,
        }

    return do_round


def _smaps() -> dict[str, int]:
    """Bytes of this process: its proportional share of mapped arrays, and what is private and anonymous."""
    held = {"images": 0, "private": 0}
    mapped = ""
    for text in Path("/proc/self/smaps").read_text().splitlines():
        words = text.split()
        if not words[0].endswith(":"):
            mapped = words[5] if len(words) > 5 else ""
        elif words[0] == "Pss:" and mapped.endswith("train_x.npy"):
            held["images"] += int(words[1]) * 1024
        elif words[0] == "Anonymous:":
            held["private"] += int(words[1]) * 1024
    return held
