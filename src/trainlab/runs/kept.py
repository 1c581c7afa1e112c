"""What a finished run has kept, against what is asked of it now: none of it decides which run it is."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainlab.runs import rows

AGAIN = "sweep.rerun=true"
_CHECKPOINTS = {"last": ("last",), "best": ("best",), "both": ("last", "best"), "none": ()}


def lacking(settings: Mapping[str, Any], folder: Path) -> list[str]:
    """What these settings ask a run to keep that its folder does not hold: signals, last.ckpt, best.ckpt."""
    missing: list[str] = []
    tables = (rows.SIGNALS.parquet(folder), rows.SIGNALS.lines(folder))
    if settings["signals"] is not False and not any(path.exists() for path in tables):
        missing.append("signals")
    for name in _CHECKPOINTS[settings["checkpoint"]]:
        if not (folder / "checkpoints" / f"{name}.ckpt").exists():
            missing.append(f"{name}.ckpt")
    return missing


def how_to_get(missing: Iterable[str]) -> str:
    """`without signals, which sweep.rerun=true trains it again for`; or how to anyway."""
    named = ", ".join(missing)
    return f"without {named}, which {AGAIN} trains it again for" if named else f"{AGAIN} trains it again"
