"""Which runs can be trained as one stack: those of one structure, whatever the values in it.

A stack is one network with a leading run dimension, one step for all its runs. What decides the shapes, the
operations or the number of steps is structure; a seed, an initializer, a rate or an input normalization is a
value that each run has for itself.
"""

import json
from collections.abc import Mapping, Sequence

from trainlab.axes import AXIS
from trainlab.instantiate.allowlist import current_name
from trainlab.runs.identity import flatten
from trainlab.settings import OptimizerSettings, RunSettings

_FREE = ("seed", "init", "normalization", "augment", "optimizer", "scheduler", "early_stop")
"""What each run of a stack has for itself, whole; of the optimizer the kind is structure."""
_FREE_IF_OURS = ("normalization", "augment")
"""Of these a user's own is structure: it may give tensors of another shape or type, or have parameters."""
_FREE_PARTS = {"data": ("split_seed",), "trainer": ("gradient_clip",)}
"""The same of sections of which the rest is structure."""
_NOT_LOOKED_AT = ("run_id", "axes", "group", "paths", "pruning", "rerun")
"""What names a run, and what a sweep has once or adds itself."""
_PARTS_NOT_LOOKED_AT = {"trainer": ("progress_bar",)}
"""The same of sections; an argument of a user's own class may have any of these names."""
_OPTIMIZER_KINDS = {"SGD": "SGD", "Adam": "Adam", "AdamW": "Adam", "RMSprop": "RMSprop"}
"""Classes of torch.optim with a stacked form, and their kinds (`trainlab.stacked.optimizer_kinds`)."""
_NOT_STACKED = ("maximize", "differentiable")
_NEED_PLACE = ("trainlab.data.alternating_flip.alternating_flip",)
"""Augmentations that ask which images a batch holds (`trainlab.build.data.needs_place`)."""
_ONE_SCALE = ("16-mixed", "16-true")


def why_alone(settings: RunSettings) -> str | None:
    """Why a run cannot be in a stack, as the end of a sentence; None where it can."""
    trainer = settings.trainer
    if trainer.devices > 1:
        return f"trainer.devices={trainer.devices} is for one network at a time"
    if trainer.precision in _ONE_SCALE:
        return f"trainer.precision={trainer.precision} has one gradient scale for all"
    if trainer.profiler is not None:
        return f"trainer.profiler={trainer.profiler} is of a single run"
    if isinstance(settings.resume, str):
        return "resume=RUN starts from another run"
    if trainer.label_smoothing:
        return "trainer.label_smoothing has no stacked form"
    if trainer.test_views != "one":
        return f"trainer.test_views={trainer.test_views} has no stacked form"
    if settings.data.label_noise:
        return "data.label_noise has no stacked form"
    if current_name(settings.augment.target or "") in _NEED_PLACE:
        return f"augment {settings.augment.target} has no stacked form"
    return _why_not_this_optimizer(settings.optimizer)


def _why_not_this_optimizer(optimizer: OptimizerSettings) -> str | None:
    if optimizer_kind(optimizer) is None:
        return f"optimizer {optimizer.target} has no stacked form"
    flag = next((name for name in _NOT_STACKED if optimizer.arguments.get(name)), None)
    return None if flag is None else f"optimizer.{flag} has no stacked form"


def optimizer_kind(optimizer: OptimizerSettings) -> str | None:
    """What the optimizers of a stack have in common: SGD, Adam (AdamW too) or RMSprop; None for any other."""
    module, _, name = str(optimizer.target).rpartition(".")
    return _OPTIMIZER_KINDS.get(name) if f"{module}.".startswith("torch.optim.") else None


def has_own_model(settings: RunSettings) -> bool:
    """Whether the architecture is the user's: it is stacked as a loop over the runs, which gains little."""
    return _is_own("model", settings.model.target)


def _is_own(axis: str, target: str | None) -> bool:
    """Whether a class or function is not one of those that trainlab has for this axis."""
    name = current_name(target or "")
    homes = AXIS[axis].classes_in
    return bool(name) and name not in AXIS[axis].objects and not any(name.startswith(f"{h}.") for h in homes)


Structure = dict[str, object]
"""What must be equal in the runs of a stack, by dotted names."""


def structure_of(settings: RunSettings) -> Structure:
    """All of the settings but what each run of a stack has for itself."""
    structure: Structure = {}
    own = [name for name in _FREE_IF_OURS if _is_own(name, getattr(settings, name).target)]
    for name, value in settings.to_plain().items():
        if name in (*_FREE, *_NOT_LOOKED_AT) and name not in own:
            continue
        left_out = (*_FREE_PARTS.get(name, ()), *_PARTS_NOT_LOOKED_AT.get(name, ()))
        kept = {k: v for k, v in value.items() if k not in left_out} if isinstance(value, Mapping) else value
        structure |= flatten({name: kept})
    structure["optimizer"] = optimizer_kind(settings.optimizer)
    return structure


def structure_key(settings: RunSettings) -> str:
    """The structure as one text: runs with the same text can be in one stack."""
    return json.dumps(structure_of(settings), sort_keys=True)


def differing_values(all_values: Sequence[Mapping[str, object]]) -> list[str]:
    """What runs with these `free_values` differ in: `seed`, `init`, `optimizer.lr`."""
    unlike = _unlike(all_values)
    chosen = {_root(name) for name in unlike if name.endswith("._target_")}
    return list(dict.fromkeys(_root(name) if _root(name) in chosen else name for name in unlike))


def free_values(settings: RunSettings) -> dict[str, object]:
    """What a run has for itself in a stack, by dotted names."""
    plain = settings.to_plain()
    parts = {name: {key: plain[name].get(key) for key in keys} for name, keys in _FREE_PARTS.items()}
    return flatten({name: plain.get(name) for name in _FREE} | parts)


def _unlike(all_values: Sequence[Mapping[str, object]]) -> list[str]:
    """The names that have several values."""
    names = dict.fromkeys(name for values in all_values for name in values)
    return [name for name in names if len({json.dumps(values.get(name)) for values in all_values}) > 1]


def _root(name: str) -> str:
    return name.partition(".")[0]


_ALWAYS_NAMED = ("model", "depth", "activation", "data")
_ORDER = (*_ALWAYS_NAMED[:2], "width", "activation", "norm_layer", "pool", "data", "optimizer")
_NOT_NAMED = ("own_code", "fingerprint", "copy", "model.depth", "model.width")
"""What follows from something that is named, or says nothing to people."""


def structures_in_words(runs: Sequence[RunSettings]) -> list[tuple[str, ...]]:
    """The structure of each of these runs: `model=lenet5`, `activation=relu`, and in what others differ."""
    structures = [structure_of(settings) for settings in runs]
    named = {
        name: None
        for name in _unlike(structures)
        if name not in _NOT_NAMED and _root(name) not in _NOT_NAMED and not _follows_from_axis(name, runs)
    }
    axes = {_root(name) for name in _unlike(structures) if name.endswith("._target_")} | {*_ALWAYS_NAMED}
    names = sorted({*axes, *named}, key=lambda name: (_place(_root(name)), name))
    return [
        tuple(
            f"{name}={value}"
            for name in names
            if (value := structure.get(name, settings.axes.get(name))) is not None
        )
        for settings, structure in zip(runs, structures, strict=True)
    ]


def _follows_from_axis(name: str, runs: Sequence[RunSettings]) -> bool:
    """Whether runs with the same option of its axis all have the same value of this name."""
    root = _root(name)
    if root not in AXIS or name == root:
        return False
    by_option: dict[object, list[Structure]] = {}
    for settings in runs:
        by_option.setdefault(settings.axes.get(root), []).append(structure_of(settings))
    return not any(name in _unlike(of_option) for of_option in by_option.values())


def _place(root: str) -> int:
    return _ORDER.index(root) if root in _ORDER else len(_ORDER)
