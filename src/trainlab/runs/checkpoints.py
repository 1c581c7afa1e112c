"""Where the weights of a run lie. No torch: that they are missing is said at once."""

from pathlib import Path

from trainlab.errors import RequestError


def checkpoint_path(folder: Path, which: str) -> Path:
    """`last.ckpt` or `best.ckpt` of a run.

    Raises:
        RequestError: the run has no such checkpoint; names those that it has.
    """
    path = folder / "checkpoints" / f"{which}.ckpt"
    if not path.exists():
        there = sorted(p.stem for p in path.parent.glob("*.ckpt")) or ["none"]
        raise RequestError(f"run {folder.name} has no checkpoint '{which}'; available: {', '.join(there)}")
    return path
