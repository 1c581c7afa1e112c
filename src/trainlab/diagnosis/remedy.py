"""What to change: the first remedy of a cause that changes the run at all, filled from its own settings."""

import math
import re
from collections.abc import Mapping

from trainlab.axes import AXES
from trainlab.diagnosis.causes.batch_statistics import FEW_IMAGES
from trainlab.diagnosis.causes.step_size import higher_rate
from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.diagnosis.known_causes import find_cause

VGG_DEPTHS, RESNET_STEP = (11, 13, 16, 19), 3
"""The depths that a VGG can have, and the step of a ResNet's: `depths()` of the classes, which need torch."""

BATCHNORM_MOMENTUM = 0.1
"""What torch gives it, and the platform's options."""


def suggest_remedy(
    name: str, setup: SettingsSummary, lr_factor: float | None = None, steps_factor: float | None = None
) -> str | None:
    """Overrides that mend the cause `name` in a run set up so: `norm_layer=batchnorm`, `optimizer.lr=0.001`.

    Of each remedy in `known_causes`, overrides that the run has already, or that do not fit it (a depth for
    LeNet-5), are left out; the first remedy of which something is left is it. `lr_factor` replaces the tenth
    or ten of a learning rate, `steps_factor` twice the steps, where the evidence gives them; one
    that is too low is raised to what its optimizer usually bears (`causes.step_size`).
    None where nothing is left.
    Raises RequestError for a cause that does not exist.
    """
    fills = _fills(setup, lr_factor, steps_factor or 2.0)
    of_axes = [f"{axis.name}={axis.remedies[name]}" for axis in AXES if name in axis.remedies]
    for template in (*find_cause(name).remedies, *of_axes):
        overrides = [filled for part in template.split() if (filled := _fill(part, fills))]
        kept = [override for override in overrides if _changes(override, setup)]
        if kept:
            return " ".join(kept)
    return None


def _fill(template: str, fills: Mapping[str, object]) -> str | None:
    """The override, None where a value that it needs is not known."""
    names = re.findall(r"{(\w+)}", template)
    if any(fills.get(name) is None for name in names):
        return None
    return template.format(**{name: f"{_number(fills[name])}" for name in names})


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _fills(setup: SettingsSummary, lr_factor: float | None, steps_factor: float) -> dict[str, float | None]:
    return {
        "tenth_lr": _times(setup.lr, lr_factor or 0.1),
        "higher_lr": higher_rate(setup, lr_factor),
        "more_epochs": _whole(_times(setup.max_epochs, steps_factor)),
        "more_steps": _whole(_times(setup.max_steps, steps_factor)),
        "half_depth": _half_depth(setup),
        "usual_momentum": _usual_momentum(setup),
    }


def _whole(value: float | None) -> int | None:
    return None if value is None else math.ceil(value - 1e-9)


def _usual_momentum(setup: SettingsSummary) -> float | None:
    """BatchNorm's own, where the run's is smaller: statistics that follow too slowly to be those of the
    data."""
    low = setup.norm_momentum is not None and setup.norm_momentum < BATCHNORM_MOMENTUM
    return BATCHNORM_MOMENTUM if low else None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _half_depth(setup: SettingsSummary) -> int | None:
    """About half of the depth, as the architecture allows it; None where it cannot be less."""
    if setup.depth is None:
        return None
    model = setup.axes.get("model")
    if model == "vgg":
        return max((depth for depth in VGG_DEPTHS if depth < setup.depth), default=None)
    step = RESNET_STEP if model == "resnet" else 1
    half = max(setup.depth // 2 // step * step, step)
    return half if half < setup.depth else None


def _changes(override: str, setup: SettingsSummary) -> bool:
    """Whether the override is something else than what the run has, and can be run."""
    key, _, value = override.partition("=")
    if key == "norm_layer" and value == "batchnorm":
        return not setup.has_batchnorm and (setup.batch_size or FEW_IMAGES) >= FEW_IMAGES
    if key == "data.batch_size":
        return setup.batch_size is not None and setup.batch_size < int(value)
    if key == "trainer.gradient_clip":
        return setup.gradient_clip is None or setup.gradient_clip < float(value)
    if key == "optimizer.weight_decay":
        return bool(setup.weight_decay)
    return str(setup.axes.get(key)) != value
