"""The command that makes a run, from its frozen settings: what differs from the defaults, and no more."""

import json
from collections.abc import Mapping
from typing import Any

from trainlab.errors import RequestError
from trainlab.runs.identity import flat

NOT_SAID = (
    "paths.", "axes.", "logger.", "pruning.", "trainer.accelerator", "trainer.strategy", "trainer.threads",
    "trainer.progress_bar", "run_id", "fingerprint", "copy", "group", "resume", "signals", "checkpoint",
    "model.depth", "model.width",
)  # fmt: skip
"""Settings that decide nothing about the result, and those that another one sets."""


def command(settings: Mapping[str, Any], change: str = "") -> str:
    """`python train.py …` with the overrides of the run, and `change` in the place of what it changes.

    Where the run has options that are not to be found here (a user's own), they are left as `…`.
    """
    from trainlab.config.composition import compose

    changed = {override.partition("=")[0] for override in change.split()}
    axes = {axis: name for axis, name in settings["axes"].items() if axis != "depth"}
    try:
        defaults = compose([f"model={axes['model']}"])["axes"] | {"model": compose()["axes"]["model"]}
        named = [f"{axis}={name}" for axis, name in axes.items() if name != defaults[axis]]
        base = flat(compose(named))
    except RequestError:
        return f"python train.py … {change}".strip()
    overrides = [override for override in named if override.partition("=")[0] not in changed]
    for key, value in flat(settings).items():
        of_changed_axis = key.partition(".")[0] in changed and key.partition(".")[0] in axes
        by_steps = key == "trainer.max_epochs" and value is None  # what trainer.max_steps alone makes of it
        known = base.get(key) == value or by_steps
        if key.startswith(NOT_SAID) or key in changed or of_changed_axis or known:
            continue
        overrides.append(f"{'' if key in base else '+'}{key}={_plain(value)}")
    return " ".join(["python train.py", *overrides, *change.split()])


def _plain(value: object) -> str:
    """A value as Hydra reads it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
