"""Every option of a config group, found by glob and built as the platform builds it."""

from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from trainlab.nn.norm_layers import NormLayer

CONF = Path(__file__).parents[1] / "conf"


def names(group):
    """The options of a group, one YAML each."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def node(group, name):
    """The option's plain, resolved node, of a model `{depth, width, model}`; an alias is what it names."""
    content = OmegaConf.load(CONF / group / f"{name}.yaml")
    if set(content) == {"defaults"}:
        return node(group, content["defaults"][0])
    plain = OmegaConf.to_container(content, resolve=True)
    assert isinstance(plain, dict)
    return {key: value for key, value in plain.items() if key != "defaults"}  # mlp: override /pool: none


def build(group, name, **overrides) -> Any:
    """The instantiated option."""
    content = node(group, name)
    if content.get("_target_", "") is None:
        return None
    part = instantiate({**content, **overrides})
    return NormLayer(**part) if group == "norm_layer" else part


SMALL = {
    "plain_cnn": {"width": 4},
    "mlp": {"width": 16},
    "locally_connected": {"width": 4},
    "vgg": {"depth": 11, "width": 4},
    "resnet": {"depth": 3, "width": 4},
    "whitened_cnn": {"width": 4},
}
"""Sizes that keep the contract tests fast."""


WITHOUT_POOLING = ("mlp", "resnet")


def network(
    model,
    *,
    activation="relu",
    norm_layer="none",
    pool=None,
    in_shape_CHW=(1, 32, 32),
    **sizes,
):
    """The model built of named options; its own pooling where none is named."""
    pool = pool or ("none" if model in WITHOUT_POOLING else "max")
    built = instantiate({**node("model", model)["model"], **SMALL.get(model, {}), **sizes})
    return built(
        in_shape_CHW=in_shape_CHW,
        num_classes=10,
        activation=build("activation", activation),
        norm_layer=build("norm_layer", norm_layer),
        pool=build("pool", pool),
    )
