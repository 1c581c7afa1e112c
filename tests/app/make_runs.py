"""Eight small real runs on digits into a folder: `python make_runs.py FOLDER`."""

import itertools
import sys
from pathlib import Path

from trainlab.config import compose, identify
from trainlab.runs import groups
from trainlab.training.environment import configure_process
from trainlab.training.run import train

QUICK = (
    "data=digits", "data.image_size=16", "data.train_size=512", "data.val_size=64", "data.test_size=200",
    "data.batch_size=32", "model=plain_cnn", "depth=3", "width=8", "optimizer=adam",
    "optimizer.lr=0.003", "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=4", "logger=none",
    "group=demo",
)  # fmt: skip
GRID = {"activation": ("sigmoid", "relu"), "init": ("glorot", "kaiming"), "seed": (0, 1)}


def make(folder: Path) -> None:
    """Trains the grid and writes it down as the sweep `demo`."""
    configure_process()
    ids = []
    for values in itertools.product(*GRID.values()):
        chosen = [f"{axis}={value}" for axis, value in zip(GRID, values, strict=True)]
        paths = (f"paths.runs={folder}", f"paths.cache={folder.parent / 'app-cache'}")
        settings = identify(compose([*QUICK, *chosen, *paths]))
        ids.append(settings.run_id)
        train(settings)
    groups.add_to_group(folder, "demo", ids)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
