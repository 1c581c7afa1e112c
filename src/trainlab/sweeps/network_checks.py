"""The networks of a plan, each built once on the meta device before anything starts.

What cannot be built is refused; a swept axis that a network makes no use of is named."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.errors import RequestError
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.plan import Job, Plan, format_faults

_ARCHITECTURE_PARTS = (
    "model",
    "norm_layer",
    "activation",
    "pool",
    "init",
    "optimizer",
    "scheduler",
    "logger",
)
_ARCHITECTURE_DATA = ("image_size", "channels", "num_classes", "batch_size", "train_size")


def check_architectures(jobs: Sequence[Job], server: ForkServer) -> None:
    """Builds every distinct architecture of these jobs in one forked process.

    Raises:
        RequestError: all that cannot be built, a line each.
    """
    distinct: dict[str, Job] = {}
    for job in jobs:
        distinct.setdefault(_architecture_key(job.settings), job)
    if not distinct:
        return
    found = server.call(build_faults, [job.settings for job in distinct.values()])
    faults = list(dict.fromkeys(fault for fault in found if fault))
    if faults:
        raise RequestError(format_faults(faults))


def _architecture_key(settings: Mapping[str, Any]) -> str:
    """Everything that decides whether a run can be built and started, as one text."""
    parts = {part: settings[part] for part in _ARCHITECTURE_PARTS}
    data = {name: settings["data"][name] for name in _ARCHITECTURE_DATA}
    start = [settings["fingerprint"], settings["trainer"]] if isinstance(settings["resume"], str) else None
    others = [settings["trainer"]["devices"], settings["group"], settings["resume"], start]
    return json.dumps([parts, data, others], sort_keys=True)


def build_faults(wanted: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """For each of these settings why it cannot be built, or None. Runs in a warm process, with torch."""
    from trainlab.training.preconditions import check_settings

    return [_build_fault(settings, check_settings) for settings in wanted]


def _build_fault(settings: Mapping[str, Any], check: Any) -> str | None:
    try:
        check(settings)
    except RequestError as error:
        return str(error)
    return None


NETWORK_AXES = ("activation", "norm_layer", "pool")
MAX_JOBS, MAX_NETWORKS = 4000, 400
"""Of a larger sweep the first so many are looked at: a model that ignores an axis ignores it in all."""
_INPUT_SHAPE = ("image_size", "channels", "num_classes")


def unused_axes(plan: Plan, server: ForkServer) -> list[str]:
    """A line for each swept axis, or setting of the model, of which several values give the same network."""
    if not any(key.partition(".")[0] in (*NETWORK_AXES, "model", "depth", "width") for key in plan.swept):
        return []
    networks: dict[str, Mapping[str, Any]] = {}
    for job in plan.jobs[:MAX_JOBS]:
        settings = job.settings
        if settings["data"]["image_size"] is not None and settings["data"]["num_classes"] is not None:
            networks.setdefault(_network_key(settings), settings)
        if len(networks) == MAX_NETWORKS:
            break
    wanted = list(networks.values())
    groups = [
        (name, members) for name in _varying_parts(wanted) for members in _groups_differing_in(wanted, name)
    ]
    if not groups:
        return []
    found = server.call(identical_networks, wanted, [members for _, members in groups])
    lines = [
        _unused_axis_line(name, [wanted[i] for i in same])
        for (name, _), sets in zip(groups, found, strict=True)
        for same in sets
    ]
    return list(dict.fromkeys(lines))


def _network_parts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a network is made of, each by the name under which it is swept."""
    parts = {axis: settings[axis] for axis in NETWORK_AXES}
    parts |= {f"model.{key}": value for key, value in settings["model"].items()}
    return parts | {f"data.{name}": settings["data"][name] for name in _INPUT_SHAPE}


def _network_key(settings: Mapping[str, Any], without: str | None = None) -> str:
    return json.dumps({name: part for name, part in _network_parts(settings).items() if name != without})


def _varying_parts(wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = [_network_parts(settings) for settings in wanted]
    names = dict.fromkeys(name for of in parts for name in of if not name.startswith("data."))
    return [name for name in names if len({json.dumps(of.get(name)) for of in parts}) > 1]


def _groups_differing_in(wanted: Sequence[Mapping[str, Any]], name: str) -> list[list[int]]:
    """Indices of settings that differ in this alone, where there are several."""
    groups: dict[str, list[int]] = {}
    for number, settings in enumerate(wanted):
        groups.setdefault(_network_key(settings, without=name), []).append(number)
    return [members for members in groups.values() if len(members) > 1]


def _unused_axis_line(name: str, same: Sequence[Mapping[str, Any]]) -> str:
    axis = name.removeprefix("model.")
    values = [of["axes"][name] if name in NETWORK_AXES else of["model"][axis] for of in same]
    shown = name if name in NETWORK_AXES or axis not in ("depth", "width") else axis
    depth = same[0]["model"].get("depth") if shown != "depth" else None
    network = f"model={same[0]['axes']['model']}{f' depth={depth}' if depth else ''}"
    return (
        f"{network} makes no use of {shown}: with {' and '.join(map(str, values))} it is the same network "
        "and gives the same result"
    )


def identical_networks(
    wanted: Sequence[Mapping[str, Any]], groups: Sequence[Sequence[int]]
) -> list[list[list[int]]]:
    """For each group of these settings, those that come to the same network. Runs in a process with torch."""
    import torch

    from trainlab.build.networks import build_network, input_shape_CHW

    def built(settings: Mapping[str, Any], device: str) -> Any:
        torch.manual_seed(0)
        with torch.device(device):
            return build_network(settings, input_shape_CHW(settings), settings["data"]["num_classes"]).eval()

    def looks(settings: Mapping[str, Any]) -> str:
        net = built(settings, "meta")
        return f"{net} {[(name, tuple(p.shape)) for name, p in net.state_dict().items()]}"

    def answer(settings: Mapping[str, Any]) -> torch.Tensor:
        net = built(settings, "cpu")
        x_NCHW = torch.randn(2, *input_shape_CHW(settings), generator=torch.Generator().manual_seed(1))
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
