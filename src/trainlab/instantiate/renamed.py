"""Names in settings as they were first released, and where the object is now.

`conf/`, users' own `./conf` and the settings of old records hold the released names, and a run's identity
is a hash of them: they stay, and are looked up here.
"""

RENAMED = {
    "trainlab.training.schedules": "trainlab.nn.schedules",
    "trainlab.data.official": "trainlab.data.torchvision_datasets",
    "trainlab.training.tracking.wandb_logger": "trainlab.training.wandb_tracking.wandb_logger",
}
"""Modules, or single objects in them: released name → today's."""


def current_name(target: str) -> str:
    """Where the class or function that was released under this name is now."""
    module, _, name = target.rpartition(".")
    return RENAMED.get(target) or (f"{RENAMED[module]}.{name}" if module in RENAMED else target)


def with_current_names(node: object) -> object:
    """A copy of plain settings, every `_target_` at any depth by its current name."""
    if isinstance(node, dict):
        items = {key: with_current_names(value) for key, value in node.items()}
        if isinstance(target := items.get("_target_"), str):
            items["_target_"] = current_name(target)
        return items
    return [with_current_names(item) for item in node] if isinstance(node, list) else node
