"""What a network is swept over and makes no use of: two values that are one and the same network."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.sweeps.plan import Plan
from trainlab.sweeps.server import WarmServer

CHECK = "trainlab.sweeps.unused:alike"
AXES = ("activation", "norm_layer", "pool")
MOST_JOBS, MOST_NETWORKS = 4000, 400
"""Of a larger sweep the first so many are looked at: a model that ignores an axis ignores it in all."""
_SHAPE = ("image_size", "channels", "num_classes")


def unused(plan: Plan, server: WarmServer) -> list[str]:
    """A line for each swept axis, or setting of the model, of which several values give the same network."""
    if not any(key.partition(".")[0] in (*AXES, "model", "depth", "width") for key in plan.swept):
        return []
    networks: dict[str, Mapping[str, Any]] = {}
    for job in plan.jobs[:MOST_JOBS]:
        settings = job.settings
        if settings["data"]["image_size"] is not None and settings["data"]["num_classes"] is not None:
            networks.setdefault(_key(settings), settings)
        if len(networks) == MOST_NETWORKS:
            break
    wanted = list(networks.values())
    groups = [(name, members) for name in _varying(wanted) for members in _alike_but_for(wanted, name)]
    if not groups:
        return []
    found = server.ask(CHECK, wanted, [members for _, members in groups])
    lines = [
        _line(name, [wanted[i] for i in same])
        for (name, _), sets in zip(groups, found, strict=True)
        for same in sets
    ]
    return list(dict.fromkeys(lines))


def _parts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a network is made of, each by the name under which it is swept."""
    parts = {axis: settings[axis] for axis in AXES}
    parts |= {f"model.{key}": value for key, value in settings["model"].items()}
    return parts | {f"data.{name}": settings["data"][name] for name in _SHAPE}


def _key(settings: Mapping[str, Any], without: str | None = None) -> str:
    return json.dumps({name: part for name, part in _parts(settings).items() if name != without})


def _varying(wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = [_parts(settings) for settings in wanted]
    names = dict.fromkeys(name for of in parts for name in of if not name.startswith("data."))
    return [name for name in names if len({json.dumps(of.get(name)) for of in parts}) > 1]


def _alike_but_for(wanted: Sequence[Mapping[str, Any]], name: str) -> list[list[int]]:
    """Indices of settings that differ in this alone, where there are several."""
    groups: dict[str, list[int]] = {}
    for number, settings in enumerate(wanted):
        groups.setdefault(_key(settings, without=name), []).append(number)
    return [members for members in groups.values() if len(members) > 1]


def _line(name: str, same: Sequence[Mapping[str, Any]]) -> str:
    axis = name.removeprefix("model.")
    values = [of["axes"][name] if name in AXES else of["model"][axis] for of in same]
    shown = name if name in AXES or axis not in ("depth", "width") else axis
    depth = same[0]["model"].get("depth") if shown != "depth" else None
    network = f"model={same[0]['axes']['model']}{f' depth={depth}' if depth else ''}"
    return (
        f"{network} makes no use of {shown}: with {' and '.join(map(str, values))} it is the same network "
        "and gives the same result"
    )


def alike(wanted: Sequence[Mapping[str, Any]], groups: Sequence[Sequence[int]]) -> list[list[list[int]]]:
    """For each group of these settings, those that come to the same network. Runs in a process with torch."""
    import torch

    from trainlab.training.assemble import in_shape_CHW, network

    def built(settings: Mapping[str, Any], device: str) -> Any:
        torch.manual_seed(0)
        with torch.device(device):
            return network(settings, in_shape_CHW(settings), settings["data"]["num_classes"]).eval()

    def looks(settings: Mapping[str, Any]) -> str:
        net = built(settings, "meta")
        return f"{net} {[(name, tuple(p.shape)) for name, p in net.state_dict().items()]}"

    def answer(settings: Mapping[str, Any]) -> torch.Tensor:
        net = built(settings, "cpu")
        x_NCHW = torch.randn(2, *in_shape_CHW(settings), generator=torch.Generator().manual_seed(1))
        torch.manual_seed(0)
        with torch.inference_mode():
            return net(x_NCHW)

    def same_answer(first: int, second: int) -> bool:
        try:
            return torch.equal(answer(wanted[first]), answer(wanted[second]))
        except Exception:  # a class of the user's own may need what only a run has: nothing is said of it
            return False

    seen = [looks(settings) for settings in wanted]
    found = []
    for group in groups:
        sets: list[list[int]] = []
        for number in group:
            home = next((s for s in sets if seen[s[0]] == seen[number] and same_answer(s[0], number)), None)
            if home is None:
                sets.append([number])
            else:
                home.append(number)
        found.append([members for members in sets if len(members) > 1])
    return found
