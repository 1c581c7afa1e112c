"""Every setting that can be said is read by something: none is taken and ignored."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

import trainlab
from trainlab.section import Component
from trainlab.settings import NormLayerSettings, Settings, SweepSettings
from trainlab.sweeps.ray_engine import RaySettings
from trainlab.sweeps.slots import SlotSettings
from trainlab.sweeps.submitit_engine import SubmititSettings

SOURCE = Path(trainlab.__file__).parent
DESCRIBES = {SOURCE / "config" / "schema.py"}
BUILT = {"optimizer.lr", "optimizer.momentum", "optimizer.weight_decay"}
"""Arguments of the class that an option names: the class reads them, or refuses them."""


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        nested = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if field.alias:
            continue
        yield f"{prefix}{name}"
        for kind in nested:
            yield from settings_of(kind, f"{prefix}{name}.")


def words_read(path: Path) -> Iterator[str]:
    """Keys that are looked up, names listed to be looked up, and attributes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Tuple | ast.List):
            yield from (str(e.value) for e in node.elts if isinstance(e, ast.Constant))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


@pytest.fixture(scope="module")
def read() -> set[str]:
    files = [path for path in SOURCE.rglob("*.py") if path not in DESCRIBES]
    return {word for path in files for word in words_read(path)}


@pytest.mark.parametrize("name", sorted({*settings_of(Settings), *settings_of(SweepSettings)} - BUILT))
def test_every_setting_is_read(read, name):
    assert name.rpartition(".")[2] in read


@pytest.mark.parametrize("model", [SlotSettings, RaySettings, SubmititSettings])
def test_every_setting_of_a_launcher_is_read_by_its_engine(model):
    home = {SlotSettings: "slots.py", RaySettings: "ray_engine.py", SubmititSettings: "submitit_engine.py"}
    words = set(words_read(SOURCE / "sweeps" / home[model]))
    assert set(model.model_fields) <= words


def test_the_look_finds_what_nobody_reads(tmp_path):
    (tmp_path / "a.py").write_text("def f(settings):\n    return settings.seed, settings.get('depth')\n")
    assert set(words_read(tmp_path / "a.py")) == {"seed", "depth", "get"}
    assert "norm_layer.position" in set(settings_of(Settings)) and not set(settings_of(Component))
    assert set(settings_of(NormLayerSettings)) == {"position", "layer"}
