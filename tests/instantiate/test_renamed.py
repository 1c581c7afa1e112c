"""Names in settings as first released keep working, for the user's own settings and for strangers'."""

from pathlib import Path

import pytest
import yaml

from trainlab.instantiate import instantiate
from trainlab.instantiate.allowlist import RENAMED, current_name, with_current_names
from trainlab.instantiate.parts import LOGGER, SCHEDULER, SOURCE
from trainlab.section import Component

CONF = Path(__file__).parents[2] / "conf"
RELEASED = {
    "trainlab.training.schedules.constant": SCHEDULER,
    "trainlab.training.schedules.cosine": SCHEDULER,
    "trainlab.training.schedules.onecycle": SCHEDULER,
    "trainlab.training.schedules.step": SCHEDULER,
    "trainlab.training.tracking.csv_logger": LOGGER,
    "trainlab.training.tracking.tensorboard_logger": LOGGER,
    "trainlab.training.tracking.wandb_logger": LOGGER,
    "trainlab.data.official.mnist": SOURCE,
    "trainlab.data.official.fashion_mnist": SOURCE,
    "trainlab.data.official.cifar10": SOURCE,
}
"""As conf/ of the first release has them. Entries are never removed or changed."""


def targets(node: object) -> list[str]:
    if isinstance(node, dict):
        inner = [name for value in node.values() for name in targets(value)]
        return inner + ([node["_target_"]] if isinstance(node.get("_target_"), str) else [])
    return [name for item in node for name in targets(item)] if isinstance(node, list) else []


@pytest.mark.parametrize("is_trusted", [True, False])
@pytest.mark.parametrize("name", RELEASED)
def test_a_released_name_is_built(name, is_trusted):
    node = Component.model_validate({"_target_": name, "_partial_": True})
    built = instantiate(node.trusted() if is_trusted else node, RELEASED[name])
    assert f"{built.func.__module__}.{built.func.__qualname__}" == current_name(name)


def test_conf_has_the_released_names():
    """They are hashed: another name there would be another run."""
    texts = [path.read_text() for path in CONF.rglob("*.yaml")]
    named = {name for text in texts for name in targets(yaml.safe_load(text))}
    assert set(RELEASED) <= named
    assert not {current_name(name) for name in RELEASED if current_name(name) != name} & named


def test_names_are_followed_at_any_depth_and_nothing_else_is_changed():
    released = "trainlab.training.schedules.step"
    node = {"_target_": "a.b", "x": [{"_target_": released, "text": released}], "y": 1}
    assert with_current_names(node) == {
        "_target_": "a.b", "x": [{"_target_": "trainlab.nn.schedules.step", "text": released}], "y": 1
    }  # fmt: skip
    assert not set(RENAMED) & set(RENAMED.values())
