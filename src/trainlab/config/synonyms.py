"""Other names that people have for settings and options: `lr`, `he`, `bn`. Each leads to ours, in the error.

They are not taken in place of ours: a run has one name, and a command that is read by others says it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from trainlab.config.options import AXIS_DESCRIPTIONS, catalogue
from trainlab.errors import RequestError, UnknownSettingError, closest_name

SETTING_SYNONYMS = {
    "lr": "optimizer.lr", "learning_rate": "optimizer.lr",
    "momentum": "optimizer.momentum", "betas": "optimizer.betas",
    "wd": "optimizer.weight_decay", "weight_decay": "optimizer.weight_decay",
    "decay": "optimizer.weight_decay",
    "l2": "optimizer.weight_decay",
    "epochs": "trainer.max_epochs", "epoch": "trainer.max_epochs", "num_epochs": "trainer.max_epochs",
    "n_epochs": "trainer.max_epochs", "max_epochs": "trainer.max_epochs",
    "steps": "trainer.max_steps", "iterations": "trainer.max_steps", "iters": "trainer.max_steps",
    "max_steps": "trainer.max_steps", "num_steps": "trainer.max_steps",
    "batch": "data.batch_size", "batch_size": "data.batch_size", "batchsize": "data.batch_size",
    "bs": "data.batch_size", "bsz": "data.batch_size", "minibatch": "data.batch_size",
    "train_size": "data.train_size", "n_train": "data.train_size", "subset": "data.train_size",
    "val_size": "data.val_size", "test_size": "data.test_size",
    "image_size": "data.image_size", "img_size": "data.image_size",
    "resolution": "data.image_size",
    "num_classes": "data.num_classes", "classes": "data.num_classes", "n_classes": "data.num_classes",
    "channels": "data.channels", "split_seed": "data.split_seed",
    "label_noise": "data.label_noise", "noisy_labels": "data.label_noise", "wrong_labels": "data.label_noise",
    "permute_pixels": "data.permute_pixels", "permuted_pixels": "data.permute_pixels",
    "clip": "trainer.gradient_clip", "grad_clip": "trainer.gradient_clip",
    "gradient_clip": "trainer.gradient_clip", "gradient_clip_val": "trainer.gradient_clip",
    "clip_grad": "trainer.gradient_clip", "max_norm": "trainer.gradient_clip",
    "precision": "trainer.precision", "amp": "trainer.precision", "dtype": "trainer.precision",
    "tf32": "trainer.tf32", "allow_tf32": "trainer.tf32",
    "cuda_graph": "trainer.cuda_graph", "cuda_graphs": "trainer.cuda_graph",
    "devices": "trainer.devices", "gpus": "trainer.devices", "num_gpus": "trainer.devices",
    "threads": "trainer.threads", "num_threads": "trainer.threads",
    "workers": "hydra.launcher.slots", "num_workers": "hydra.launcher.slots", "jobs": "hydra.launcher.slots",
    "n_jobs": "hydra.launcher.slots", "slots": "hydra.launcher.slots", "parallel": "hydra.launcher.slots",
    "layers": "depth", "num_layers": "depth", "n_layers": "depth", "blocks": "depth", "num_blocks": "depth",
    "hidden": "width", "hidden_size": "width", "filters": "width", "maps": "width", "num_filters": "width",
    "seeds": "seed", "random_seed": "seed", "random_state": "seed",
    "name": "group", "run_name": "group", "sweep_name": "group", "tag": "group",
    "patience": "early_stop", "early_stopping": "early_stop",
    "runs": "paths.runs", "out": "paths.runs", "output": "paths.runs", "output_dir": "paths.runs",
    "save_dir": "paths.runs", "log_dir": "paths.runs", "run_dir": "paths.runs",
    "data_dir": "paths.data", "data_path": "paths.data", "root": "paths.data", "data_root": "paths.data",
    "cache": "paths.cache", "cache_dir": "paths.cache",
    "plan_only": "sweep.plan_only", "dry_run": "sweep.plan_only", "plan": "sweep.plan_only",
    "retry_failed": "sweep.retry_failed", "retry": "sweep.retry_failed", "rerun": "sweep.rerun",
    "force": "sweep.rerun", "overwrite": "sweep.rerun", "timeout": "sweep.run_timeout",
    "run_timeout": "sweep.run_timeout", "prune": "sweep.prune", "pruning": "sweep.prune",
    "audit": "sweep.audit", "stack": "sweep.stack", "stacks": "sweep.stack", "stacked": "sweep.stack",
    "gain": "init.gain", "sigma_w2": "init.sigma_w2", "sigma_b2": "init.sigma_b2", "std": "init.std",
    "act": "activation", "act_fn": "activation", "nonlinearity": "activation", "activations": "activation",
    "act_layer": "activation",
    "initializer": "init", "initialization": "init", "initialisation": "init", "weight_init": "init",
    "norm": "norm_layer", "normlayer": "norm_layer", "normalization_layer": "norm_layer",
    "input_normalization": "normalization", "normalisation": "normalization",
    "preprocessing": "normalization",
    "pooling": "pool", "downsampling": "pool",
    "architecture": "model", "arch": "model", "network": "model", "net": "model", "backbone": "model",
    "dataset": "data", "datasets": "data",
    "augmentation": "augment", "transform": "augment", "transforms": "augment", "aug": "augment",
    "opt": "optimizer", "optim": "optimizer", "optimiser": "optimizer",
    "schedule": "scheduler", "lr_scheduler": "scheduler", "lr_schedule": "scheduler", "sched": "scheduler",
    "device": "trainer", "accelerator": "trainer", "hardware": "trainer",
    "log": "logger", "logging": "logger", "tracker": "logger", "tracking": "logger",
    "preset": "experiment", "exp": "experiment", "launcher": "hydra/launcher",
}  # fmt: skip
"""Ours by the other name: a setting, or an axis."""

OVERRIDE_SYNONYMS = {
    "bn": "norm_layer=batchnorm", "batchnorm": "norm_layer=batchnorm", "batch_norm": "norm_layer=batchnorm",
    "ln": "norm_layer=layernorm", "layernorm": "norm_layer=layernorm", "layer_norm": "norm_layer=layernorm",
    "gn": "norm_layer=groupnorm", "groupnorm": "norm_layer=groupnorm", "group_norm": "norm_layer=groupnorm",
    "instancenorm": "norm_layer=instancenorm", "instance_norm": "norm_layer=instancenorm",
    "wandb": "logger=wandb", "tensorboard": "logger=tensorboard", "csv": "logger=csv",
    "gpu": "trainer=gpu", "cuda": "trainer=gpu", "cpu": "trainer=cpu", "mps": "trainer=mps",
    "ddp": "trainer=ddp", "nesterov": "optimizer=sgd_nesterov", "cosine": "scheduler=cosine",
    "onecycle": "scheduler=onecycle", "flip": "augment=flip_crop", "overfit": "debug=one_batch",
    "debug_one_batch": "debug=one_batch",
}  # fmt: skip
"""What is an option here, said as a setting of its own."""

OPTION_SYNONYMS = {
    "activation": {
        "swish": "silu", "logistic": "sigmoid", "sigm": "sigmoid", "linear": "identity", "none": "identity",
        "null": "identity", "id": "identity", "lrelu": "leaky_relu", "leaky": "leaky_relu",
        "rectifier": "relu", "rectified": "relu", "hard_tanh": "hardtanh", "parametric_relu": "prelu",
    },
    "init": {
        "he": "kaiming", "he_normal": "kaiming", "he_init": "kaiming", "msra": "kaiming",
        "he_uniform": "kaiming_uniform", "xavier": "glorot", "xavier_uniform": "glorot",
        "xavier_normal": "glorot_normal", "lecun_normal": "lecun", "gaussian": "normal", "random": "normal",
        "randn": "normal", "truncated_normal": "normal", "default": "torch_default",
        "pytorch": "torch_default", "torch": "torch_default", "none": "torch_default",
        "null": "torch_default", "zero": "zeros", "constant": "zeros",
        "ortho": "orthogonal", "delta": "delta_orthogonal", "meanfield": "mean_field",
    },
    "normalization": {
        "standard": "standardize", "standardise": "standardize", "zscore": "standardize",
        "mean_std": "standardize", "minmax": "unit", "zero_one": "unit", "scale": "unit", "none": "raw",
        "null": "raw", "mean": "center", "centre": "center", "instance": "per_image", "image": "per_image",
    },
    "norm_layer": {
        "bn": "batchnorm", "batch": "batchnorm", "batchnorm2d": "batchnorm", "ln": "layernorm",
        "layer": "layernorm", "gn": "groupnorm", "group": "groupnorm", "in": "instancenorm",
        "instance": "instancenorm", "no": "none", "off": "none", "false": "none", "null": "none",
        "identity": "none", "true": "batchnorm", "yes": "batchnorm",
    },
    "pool": {
        "maxpool": "max", "maximum": "max", "maxpool2d": "max", "average": "avg", "mean": "avg",
        "avgpool": "avg", "avgpool2d": "avg", "strided": "stride", "no": "none", "off": "none",
        "null": "none", "false": "none",
    },
    "model": {
        "cnn": "plain_cnn", "convnet": "plain_cnn", "conv": "plain_cnn", "plain": "plain_cnn",
        "lenet": "lenet5", "fc": "mlp", "dense": "mlp", "fcn": "mlp", "linear": "mlp", "perceptron": "mlp",
        "local": "locally_connected", "locally": "locally_connected", "vggnet": "vgg", "residual": "resnet",
    },
    "data": {
        "cifar": "cifar10", "fashion": "fashion_mnist", "fmnist": "fashion_mnist", "shapes": "shapeset",
        "folder": "image_folder", "images": "image_folder", "imagenet": "image_folder", "digit": "digits",
        "optdigits": "digits", "sklearn": "digits",
    },
    "augment": {
        "flip": "flip_crop", "crop": "flip_crop", "true": "flip_crop", "on": "flip_crop", "yes": "flip_crop",
        "off": "none", "no": "none", "false": "none", "null": "none",
    },
    "optimizer": {
        "momentum": "sgd_momentum", "nesterov": "sgd_nesterov", "nag": "sgd_nesterov", "rms": "rmsprop",
        "gd": "sgd",
    },
    "scheduler": {
        "none": "constant", "null": "constant", "off": "constant", "cos": "cosine",
        "cosine_annealing": "cosine", "annealing": "cosine", "1cycle": "onecycle", "one": "onecycle",
        "multistep": "step", "steplr": "step", "step_lr": "step",
    },
    "trainer": {"cuda": "gpu", "nvidia": "gpu", "metal": "mps", "apple": "mps", "multi_gpu": "ddp",
                "distributed": "ddp", "default": "auto"},
    "logger": {
        "tb": "tensorboard", "tensor_board": "tensorboard", "wb": "wandb", "weights_and_biases": "wandb",
        "off": "none", "no": "none", "false": "none", "null": "none",
    },
    "debug": {"overfit": "one_batch", "batch": "one_batch", "off": "none", "no": "none", "null": "none",
              "true": "fast", "profiler": "profile", "fast_dev_run": "fast"},
    "hydra/launcher": {"slurm": "submitit_slurm", "submitit": "submitit_slurm", "joblib": "local",
                       "basic": "local"},
}  # fmt: skip
"""Our option by the other name, on each axis."""

MODELS_NAMED_WITH_DEPTH = {"vgg": "vgg", "mlp": "mlp", "cnn": "plain_cnn", "plaincnn": "plain_cnn"}
"""Architectures that others name with their depth, as `vgg16`; ResNets count layers where we count blocks."""


class Suggestion(NamedTuple):
    """What an unknown name stands for: the setting or axis, and a value where the name says it too."""

    key: str
    value: str | None = None


def setting_for_synonym(key: str) -> Suggestion | None:
    """What somebody means by a setting `key`: `lr` is `optimizer.lr`, `bn` is `norm_layer=batchnorm`."""
    name = _normalize(key.rpartition(".")[2]) if key.partition(".")[0] in _COMMON_PARENTS else _normalize(key)
    if name in OVERRIDE_SYNONYMS:
        return Suggestion(*OVERRIDE_SYNONYMS[name].split("="))
    return Suggestion(SETTING_SYNONYMS[name]) if name in SETTING_SYNONYMS else None


_COMMON_PARENTS = (
    "trainer",
    "optimizer",
    "data",
    "model",
    "training",
    "train",
    "hparams",
    "paths",
    "scheduler",
)
"""Parents under which people look for a setting that is elsewhere: `model.lr`, `training.epochs`."""


def option_for_synonym(axis: str, got: str) -> str | None:
    """Our name of an option, or None: the same but for case, hyphens and underscores, or a synonym."""
    names, plain = list(catalogue(axis)), _normalize(got)
    alike = {_squeeze(name): name for name in names}
    if (same := alike.get(_squeeze(got))) is not None:
        return same
    known = OPTION_SYNONYMS.get(axis, {})
    ours = known.get(plain) or {_squeeze(k): v for k, v in known.items()}.get(_squeeze(got))
    return ours if ours in names else None


def unknown_option(axis: str, got: str) -> RequestError:
    """The error for an option that an axis does not have, with the override that was meant."""
    names = sorted(catalogue(axis))
    return RequestError(f"unknown {axis} '{got}': {_hint(axis, got, names)}available: {', '.join(names)}")


def unknown_setting(key: str, value: str | None, known: Sequence[str]) -> UnknownSettingError:
    """The error for a setting that does not exist, with the override that was meant where it is known.

    `value`: what it was to be, or None; `known`: the dotted names of the default composition.
    """
    meant = setting_for_synonym(key)
    if meant is None and "." not in key:  # `image_size`: the last part of one name only
        ends = [name for name in known if name.rpartition(".")[2] == key]
        meant = Suggestion(ends[0]) if len(ends) == 1 else None
    if meant is not None and meant.key != key:
        near, hint = meant.key, f"did you mean {_format_suggestion(meant, value)}? "
        if meant.key not in known and (having := _options_with_setting(meant.key)):
            hint += having
    else:
        near = closest_name(key, [*known, *_launcher_settings()])
        hint = f"did you mean '{near}'? " if near else ""
    if key not in known:
        hint = _options_with_setting(key) or hint
    parent = (near or key).rpartition(".")[0] if near and "." in near else key.rpartition(".")[0]
    if parent == "hydra.launcher":
        available = _launcher_settings()
    else:
        available = [name for name in known if name.rpartition(".")[0] == parent]
    available = available or [name for name in known if "." not in name]
    return UnknownSettingError(f"unknown setting '{key}': {hint}available: {', '.join(available)}")


def _format_suggestion(meant: Suggestion, value: str | None) -> str:
    """`optimizer.lr=0.1`; an option of an axis by our name for it."""
    if meant.value is not None or value is None:
        return f"{meant.key}={meant.value}" if meant.value else meant.key
    ours = option_for_synonym(meant.key, value) if meant.key in AXIS_DESCRIPTIONS else None
    return f"{meant.key}={ours or value}"


def _options_with_setting(key: str) -> str | None:
    """For `optimizer.momentum` beside Adam: which options of the axis have such a setting."""
    axis, _, name = key.partition(".")
    if axis not in AXIS_DESCRIPTIONS or "." in name or not name:
        return None
    having = [
        other.name
        for other in catalogue(axis).values()
        if other.alias_of is None and name in _option_settings(other.path)
    ]
    if not having:
        return None
    return f"those that have one: {axis}={', '.join(having)}; "


def _option_settings(path: Path) -> Mapping[str, object]:
    """The settings that an option's file gives its own axis."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    inner = content.get(path.parent.name)
    return inner if isinstance(inner, Mapping) else content


def _launcher_settings() -> list[str]:
    local = catalogue("hydra/launcher")["local"].path
    return [f"hydra.launcher.{name}" for name in _option_settings(local) if name[0] != "_"]


def _hint(axis: str, got: str, names: Iterable[str]) -> str:
    if ours := option_for_synonym(axis, got):
        return f"did you mean {axis}={ours}? "
    stem = _squeeze(got).rstrip("0123456789")
    depth = _squeeze(got).removeprefix(stem)
    if axis == "model" and depth and stem in MODELS_NAMED_WITH_DEPTH:
        return f"did you mean model={MODELS_NAMED_WITH_DEPTH[stem]} depth={depth}? "
    near = closest_name(got, names)
    if near:
        return f"did you mean '{near}'? "
    elsewhere = [other for other in OPTION_SYNONYMS if other != axis and got in catalogue(other)]
    return f"did you mean {elsewhere[0]}={got}? " if elsewhere else ""


def _normalize(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def _squeeze(name: str) -> str:
    return _normalize(name).replace("_", "")
