"""Imports point down: the house of the README, held in place."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "trainlab"
FLOORS = {
    "errors": 0, "project": 0, "cores": 0, "units": 0, "json_types": 0,
    "terminal": 0.5, "settings": 0.5, "instantiate": 0.5,
    "stats": 0.7, "signals": 1, "data": 1, "nn": 1, "theory": 1, "runs": 1,
    "models": 2, "analysis": 2, "config": 2, "diagnosis": 2.2, "build": 2.4, "forecast": 2.6,
    "training": 3, "serving": 3.2, "figures": 3, "sweeps": 3.5,
    "claims": 4, "wandb_sync": 4, "cli": 5, "app": 5,
}  # fmt: skip
# Within a floor, who may look next door. The front door needs nobody's permission but has none above it.
SIDEWAYS = {("signals", "nn"), ("cli", "app"), ("wandb_sync", "claims"), ("diagnosis", "forecast")}
# Rooms that start, plan or show, and never pay for torch (beyond what they import inside a function).
WITHOUT_TORCH = ("errors", "terminal", "project", "runs", "analysis", "config", "cli", "sweeps", "wandb_sync")


def rooms() -> list[str]:
    return sorted(
        p.stem for p in SOURCE.iterdir() if p.stem in FLOORS or (p.is_dir() and p.name[0] not in "_.")
    )


def imports(room: str, top_level_only: bool = False) -> set[tuple[str, str]]:
    """(file, imported module) of every import in a room."""
    path = SOURCE / room
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    found = set()
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = tree.body if top_level_only else ast.walk(tree)
        for node in nodes:
            if isinstance(node, ast.Import):
                found |= {(file.name, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add((file.name, node.module))
                found |= {(file.name, f"{node.module}.{alias.name}") for alias in node.names}
    return found


def test_every_room_has_a_floor():
    assert set(rooms()) <= set(FLOORS), "a new room: say in FLOORS where it stands"


@pytest.mark.parametrize("room", rooms())
def test_imports_point_down(room):
    for file, module in imports(room):
        parts = module.split(".")
        if parts[0] != "trainlab" or len(parts) < 2 or parts[1] not in FLOORS or parts[1] == room:
            continue
        below = FLOORS[parts[1]] < FLOORS[room]
        assert below or (room, parts[1]) in SIDEWAYS, f"{room}/{file} imports {module}, which is not below it"


@pytest.mark.parametrize("room", [r for r in rooms() if r in WITHOUT_TORCH])
def test_rooms_without_torch_do_not_import_it(room):
    heavy = {"torch", "torchvision", "lightning", "torchmetrics"}
    for file, module in imports(room, top_level_only=True):
        if file == "warm.py":  # what the warm server imports so that its children need not
            continue
        assert module.split(".")[0] not in heavy, f"{room}/{file} imports {module} as it is imported"


def test_only_the_assembling_modules_see_settings_as_a_tree():
    """Layers, initializers and sources take plain values: no OmegaConf, no Hydra below the config."""
    for room in {"nn", "models", "theory", "signals", "analysis", "diagnosis"} & set(rooms()):
        for file, module in imports(room):
            assert module.split(".")[0] not in ("omegaconf", "hydra"), f"{room}/{file} imports {module}"


def test_no_file_is_a_drawer_and_none_is_long():
    for file in SOURCE.rglob("*.py"):
        assert file.stem not in ("utils", "helpers", "misc", "common")
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, file
