"""Trained runs evaluated under distribution shifts and by linear probes, each once: what was measured is kept
beside the run.

Called in a process of its own; torch is imported where something has to be measured.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from trainlab.claims.sources import ProbeRequest, ProbeSource, ShiftAmount, ShiftMeasures
from trainlab.errors import RequestError
from trainlab.runs.safe_files import read_bounded, write_atomically

CACHE_FILE = "shifts.json"
"""Beside the run's record: what was measured of its checkpoint under each shift."""


Shift = Mapping[str, object]
"""{name: amount}, as a claim's file has it; or {probe: {layer, images}}."""


def shift_key(shift: Mapping[str, object]) -> str:
    """A shift as text, the same for equal ones."""
    return json.dumps(shift, sort_keys=True)


def evaluate_shifts(folders: Sequence[Path], shifts: Sequence[Shift]) -> dict[Path, dict[str, ShiftMeasures]]:
    """For each run folder what was measured under each shift, by `shift_key`; from its cache where it can be.

    Raises:
        RequestError: a checkpoint or its data cannot be read, or the data have changed.
    """
    return {folder: _evaluate_run(folder, shifts) for folder in folders}


def known_shifts(folder: Path, shifts: Sequence[Shift]) -> dict[str, ShiftMeasures] | None:
    """What was measured of a run under all these shifts, by `shift_key`; None where one was not. No torch."""
    known, keys = _read_cache(folder), [shift_key(shift) for shift in shifts]
    return {key: known[key] for key in keys} if all(key in known for key in keys) else None


def _evaluate_run(folder: Path, shifts: Sequence[Shift]) -> dict[str, ShiftMeasures]:
    by_key = {shift_key(shift): shift for shift in shifts}
    known = _read_cache(folder)
    missing = {key: shift for key, shift in by_key.items() if key not in known}
    if missing:
        known |= _measure_shifts(folder, missing)
        content = {"checkpoint": _checkpoint_stamp(folder), "shifts": known}
        write_atomically(folder / CACHE_FILE, json.dumps(content, indent=1) + "\n")
    return {key: known[key] for key in by_key}


def _measure_shifts(folder: Path, shifts: Mapping[str, Shift]) -> dict[str, ShiftMeasures]:
    import torch

    from trainlab.build.data import describe_data_change, load_data
    from trainlab.claims.distribution_shifts import measure_shift, predict_classes
    from trainlab.claims.linear_probe import probe_accuracy
    from trainlab.data.loader import BatchLoader
    from trainlab.serving.saved_model import load_run_model

    torch.set_num_threads(1)
    model, description = load_run_model(folder)
    images = load_data(description["settings"])
    if change := describe_data_change(description["settings"], images):
        raise RequestError(f"{change}; a claim is of one data set: train its runs again")
    test, batch_size = images.test, description["settings"].data.batch_size
    x_NCHW, y_N = next(iter(BatchLoader(test, len(test))))
    clean_N = predict_classes(model, x_NCHW)

    def measure(name: str, amount: object) -> ShiftMeasures:
        if name == ProbeSource.kind:
            probe = ProbeRequest.model_validate(amount)
            return {"accuracy": probe_accuracy(model, images, probe.layer, probe.images)}
        how_much = cast(ShiftAmount, amount)  # a source has checked it
        return measure_shift(model, x_NCHW, y_N, name, how_much, clean_N, images.train, batch_size)

    return {key: measure(*next(iter(shift.items()))) for key, shift in shifts.items()}


def _read_cache(folder: Path) -> dict[str, ShiftMeasures]:
    try:
        stored = json.loads(read_bounded(folder / CACHE_FILE))
        known, stamp = stored["shifts"], stored["checkpoint"]
        is_whole = isinstance(known, dict) and all(_is_evaluation(value) for value in known.values())
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return known if is_whole and stamp == _checkpoint_stamp(folder) else {}


def _is_evaluation(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(number, int | float) for number in value.values())


def _checkpoint_stamp(folder: Path) -> int:
    """What changes when the run is trained again."""
    path = folder / "checkpoints" / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() else 0
