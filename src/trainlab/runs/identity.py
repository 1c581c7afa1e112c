"""A run's identity: a short hash of the settings that decide its result.

What is hashed is listed here by name, axes in `trainlab.axes`. Of an axis its whole content counts, so that
an alias is the same run as what it stands for, and a user's own key is never overlooked.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from trainlab.axes import AXES
from trainlab.errors import RequestError

HASHED_AXES = tuple(axis.name for axis in AXES if axis.is_hashed)
HASHED_VALUES = ("seed", "width", "depth", "early_stop")
HASHED_TRAINER = (
    "max_epochs", "max_steps", "precision", "tf32", "gradient_clip", "val_every_epochs",
    "label_smoothing", "test_views",
)  # fmt: skip

# Where the images lie and which class reads them say nothing about what they are: the fingerprint does. The
# default number of epochs only fills trainer.max_epochs.
NOT_HASHED_DATA = frozenset({"root", "cache", "path", "folder", "source", "default_epochs"})
# debug=profile watches a run, it does not change it.
NOT_HASHED_DEBUG = frozenset({"name", "description", "profile", "profiler"})

# Settings that came after the first release, with the value that older runs had without knowing it. At that
# value they are not hashed, so that older records keep their names. Entries are never removed or changed.
ADDED_LATER: dict[str, object] = {
    "trainer.val_every_epochs": 1,
    "trainer.tf32": True,
    "trainer.label_smoothing": 0.0,
    "trainer.test_views": "one",
    "data.label_noise": 0.0,
}

USER_CODE = "own_code"
"""Digests of the user's own modules by their names; absent where a run is made of ours and torch's alone."""

ID_LENGTH = 12


def run_id(settings: Mapping, fingerprint: str) -> str:
    """The name of the run: 12 hexadecimal digits of SHA-256 over what decides its result.

    `settings` are the frozen settings (plain values), `fingerprint` the content hash of the data. The order
    of keys, values that are not set (null), and how a whole number is written (1 or 1.0) do not matter.

    Raises RequestError for a value that cannot be written as JSON, or a number of devices that is none.
    """
    own = _digest({"settings": hashed_settings(settings), "data_fingerprint": fingerprint})
    start = _other_run_start(settings.get("resume"), own)
    if start is None:
        return own
    return _digest({"settings": hashed_settings(settings), "data_fingerprint": fingerprint, "resume": start})


def run_name(axes: Mapping[str, object], seed: int) -> str:
    """How a run is called where people read it: its main options and its seed. Names need not be unique."""
    options = [str(axes[axis]) for axis in ("model", "data", "activation", "init", "norm_layer")]
    return f"{' '.join(options)} seed={seed}"


def hashed_settings(settings: Mapping) -> dict:
    """The part of the settings that decides the result, in canonical form (sorted only when hashed).

    Left out: what is for people (axes, group), hardware, tracking, paths, checkpoint, signals, sweep, and
    everything that is null or empty. `resume` is judged in `run_id`, which knows the run's own name.
    """
    trainer = settings.get("trainer") or {}
    chosen: dict = {axis: settings.get(axis) for axis in HASHED_AXES}
    chosen |= {name: settings.get(name) for name in HASHED_VALUES}
    chosen["trainer"] = {name: trainer.get(name) for name in HASHED_TRAINER}
    chosen["trainer"]["devices"] = _count_devices(trainer.get("devices"))
    chosen["data"] = _without(chosen["data"], NOT_HASHED_DATA)
    chosen[USER_CODE] = settings.get(USER_CODE)
    chosen["debug"] = _without(settings.get("debug"), NOT_HASHED_DEBUG)
    for path, default in ADDED_LATER.items():
        _drop_default(chosen, path.split("."), default)
    return _canonical_mapping(chosen)


def flat_hashed_settings(settings: Mapping) -> dict[str, object]:
    """What decides the result, on one level; `resume` where the run starts from another run's weights."""
    start = _other_run_start(settings.get("resume"), str(settings.get("run_id")))
    return flatten(hashed_settings(settings)) | ({} if start is None else {"resume": start})


def flatten(settings: Mapping, prefix: str = "") -> dict[str, object]:
    """Nested settings on one level, with dotted names: {"optimizer": {"lr": 1}} is {"optimizer.lr": 1}."""
    level: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            level |= flatten(value, f"{prefix}{key}.")
        else:
            level[f"{prefix}{key}"] = value
    return level


def _digest(content: Mapping) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def _canonical(value: object) -> object:
    """JSON with one spelling per value: no nulls, no empty mappings, whole floats as integers."""
    if isinstance(value, Mapping):
        return _canonical_mapping(value)
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, bool | int | str):
        return value
    raise RequestError(f"settings must be plain values, got {type(value).__name__} {value!r}")


def _canonical_mapping(mapping: Mapping) -> dict:
    inner = {str(key): _canonical(item) for key, item in mapping.items()}
    return {key: item for key, item in inner.items() if item is not None and item != {}}


def _without(node: object, names: frozenset[str]) -> object:
    if not isinstance(node, Mapping):
        return node
    return {key: value for key, value in node.items() if key not in names}


def _drop_default(node: dict, path: list[str], default: object) -> None:
    """Take the value at `path` out of `node` if it is `default`; what changes is copied before."""
    inner = node.get(path[0])
    if len(path) == 1:
        if inner == default:
            node.pop(path[0], None)
    elif isinstance(inner, Mapping):
        node[path[0]] = dict(inner)
        _drop_default(node[path[0]], path[1:], default)


def _count_devices(devices: object) -> int:
    """How many devices share a batch; which ones does not matter. Not set and "auto" mean one."""
    if devices is None or devices == "auto":
        return 1
    if isinstance(devices, str) and "," in devices:
        devices = [name for name in devices.split(",") if name.strip()]
    count = len(devices) if isinstance(devices, list | tuple) else _canonical(devices)
    if isinstance(count, bool) or not str(count).isdigit() or int(str(count)) < 1:
        raise RequestError(f"trainer.devices is {devices!r}, expected a number of devices (1 or more)")
    return int(str(count))


def _other_run_start(resume: object, own_id: str) -> str | None:
    """What names the other run's checkpoint, wherever its folder lies; None when a run continues itself."""
    if resume is None or isinstance(resume, bool) or resume == "":
        return None
    parts = Path(str(resume)).parts
    if own_id in parts:
        return None
    if "checkpoints" in parts[1:]:  # <runs>/<run_id>/checkpoints/last.ckpt
        return "/".join(parts[parts.index("checkpoints", 1) - 1 :])
    return parts[-1] if len(parts) == 1 else str(resume)
