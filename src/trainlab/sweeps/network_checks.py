"""The networks of a plan, each distinct one built once on the meta device before anything starts.

What cannot be built is refused; a swept axis that a network makes no use of is named.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainlab.axes import AXES
from trainlab.errors import RequestError
from trainlab.settings import RunSettings
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.plan import Job, Plan, format_faults

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainlab.build.networks import MetaNetworks

NETWORK_AXES = tuple(axis.name for axis in AXES if axis.is_model_argument or axis.wraps_network)
MAX_JOBS, MAX_NETWORKS = 4000, 400
"""Of a larger sweep the first so many are compared: a model that ignores an axis ignores it in all."""
_INPUT_SHAPE = ("image_size", "channels", "num_classes")
_NOT_CHECKED = ("seed", "run_id", "fingerprint", "copy", "own_code", "axes", "paths", "checkpoint", "signals",
                "early_stop", "depth", "width")  # fmt: skip
"""Settings that do not decide whether a run can be built and started; depth and width are in the model's."""
_CHECKED_OF_TRAINER = ("accelerator", "devices", "precision")

Indices = list[int]


def check_networks(plan: Plan, server: ForkServer) -> list[str]:
    """Builds every distinct network of a plan once, in one process, and checks every distinct architecture.

    Returns a line for each swept axis or setting of the model of which several values give one network.

    Raises:
        RequestError: all that cannot be built or started, a line each.
    """
    if not plan.todo:
        return []
    compared, groups = _networks_to_compare(plan)
    architectures = _distinct_architectures(plan.todo)
    report = server.call(inspect_networks, architectures, compared, [members for _, members in groups])
    _raise_faults(report.faults)
    lines = [
        _unused_axis_line(name, [compared[i] for i in same])
        for (name, _), sets in zip(groups, report.identical, strict=True)
        for same in sets
    ]
    return list(dict.fromkeys(lines))


def check_architectures(jobs: Iterable[Job], server: ForkServer) -> None:
    """Checks every distinct architecture of these jobs in one process.

    Raises:
        RequestError: all that cannot be built or started, a line each.
    """
    if architectures := _distinct_architectures(jobs):
        _raise_faults(server.call(inspect_networks, architectures, [], []).faults)


def _raise_faults(faults: Iterable[str | None]) -> None:
    found = list(dict.fromkeys(fault for fault in faults if fault))
    if found:
        raise RequestError(format_faults(found))


def _distinct_architectures(jobs: Iterable[Job]) -> list[RunSettings]:
    """The settings of one job of each architecture."""
    distinct: dict[str, Job] = {}
    for job in jobs:
        distinct.setdefault(_architecture_key(job.settings), job)
    return [job.settings for job in distinct.values()]


def _architecture_key(settings: RunSettings) -> str:
    """Everything that decides whether a run can be built and started, as one text."""
    checked = {name: value for name, value in settings.to_plain().items() if name not in _NOT_CHECKED}
    if isinstance(settings.resume, str):
        checked["start"] = [settings.fingerprint, settings.paths.to_plain()]
    else:
        checked["trainer"] = [getattr(settings.trainer, name) for name in _CHECKED_OF_TRAINER]
    return json.dumps(checked, sort_keys=True)


# What is compared


def _networks_to_compare(plan: Plan) -> tuple[list[RunSettings], list[tuple[str, Indices]]]:
    """Settings of distinct networks, and by swept part the indices of those that differ in it alone."""
    if not any(key.partition(".")[0] in (*NETWORK_AXES, "model", "depth", "width") for key in plan.swept):
        return [], []
    distinct: dict[str, RunSettings] = {}
    for job in plan.jobs[:MAX_JOBS]:
        settings = job.settings
        if settings.data.image_size is not None and settings.data.num_classes is not None:
            distinct.setdefault(_network_key(settings), settings)
        if len(distinct) == MAX_NETWORKS:
            break
    compared = list(distinct.values())
    groups = [
        (name, members)
        for name in _varying_parts(compared)
        for members in _groups_differing_in(compared, name)
    ]
    return (compared, groups) if groups else ([], [])


def _network_parts(settings: RunSettings) -> dict[str, object]:
    """What a network is made of, each by the name under which it is swept."""
    parts: dict[str, object] = {axis: getattr(settings, axis).to_plain() for axis in NETWORK_AXES}
    parts |= {f"model.{key}": value for key, value in settings.model.to_plain().items()}
    return parts | {f"data.{name}": getattr(settings.data, name) for name in _INPUT_SHAPE}


def _network_key(settings: RunSettings, without: str | None = None) -> str:
    return json.dumps({name: part for name, part in _network_parts(settings).items() if name != without})


def _varying_parts(compared: Sequence[RunSettings]) -> list[str]:
    """Names of the parts in which these settings differ, but for those of the data."""
    all_parts = [_network_parts(settings) for settings in compared]
    names = dict.fromkeys(name for parts in all_parts for name in parts if not name.startswith("data."))
    return [name for name in names if len({json.dumps(parts.get(name)) for parts in all_parts}) > 1]


def _groups_differing_in(compared: Sequence[RunSettings], name: str) -> list[Indices]:
    """Indices of settings that differ in this part alone, where there are several."""
    groups: dict[str, Indices] = {}
    for index, settings in enumerate(compared):
        groups.setdefault(_network_key(settings, without=name), []).append(index)
    return [members for members in groups.values() if len(members) > 1]


def _unused_axis_line(name: str, same: Sequence[RunSettings]) -> str:
    argument = name.removeprefix("model.")
    values = [
        settings.axes[name] if name in NETWORK_AXES else settings.model.to_plain()[argument]
        for settings in same
    ]
    shown = argument if argument in ("depth", "width") else name
    depth = same[0].model.arguments.get("depth") if shown != "depth" else None
    network = f"model={same[0].axes['model']}{f' depth={depth}' if depth else ''}"
    return (
        f"{network} makes no use of {shown}: with {' and '.join(map(str, values))} it is the same network "
        "and gives the same result"
    )


# In a process with torch


@dataclass(frozen=True)
class NetworkReport:
    """Why each architecture cannot be built or started, or None; per group, which networks are identical."""

    faults: list[str | None]
    identical: list[list[Indices]]


def inspect_networks(
    architectures: Sequence[RunSettings],
    compared: Sequence[RunSettings],
    groups: Sequence[Indices],
) -> NetworkReport:
    """Checks these architectures, and finds identical networks in each group of `compared`.

    Called in a process of its own, with torch. Network by network: each is built once, everything that is
    asked of it is answered, and only then the next is built.
    """
    from trainlab.build.networks import MetaNetworks

    faults: list[str | None] = [None] * len(architectures)
    descriptions: list[str | None] = [None] * len(compared)
    by_network: dict[str, tuple[Indices, Indices]] = {}
    for index, settings in enumerate(architectures):
        by_network.setdefault(_network_key(settings), ([], []))[0].append(index)
    for index, settings in enumerate(compared):
        by_network.setdefault(_network_key(settings), ([], []))[1].append(index)
    for to_check, to_describe in by_network.values():
        networks = MetaNetworks()
        for index in to_check:
            faults[index] = _fault(architectures[index], networks)
        for index in to_describe:
            descriptions[index] = _description(compared[index], networks)
    if any(faults):
        return NetworkReport(faults, [])
    outputs = _Outputs(compared)
    return NetworkReport(faults, [_identical(group, descriptions, outputs) for group in groups])


def _fault(settings: RunSettings, networks: "MetaNetworks") -> str | None:
    from trainlab.training.preconditions import check_settings

    try:
        check_settings(settings, networks)
    except RequestError as error:
        return str(error)
    return None


def _description(settings: RunSettings, networks: "MetaNetworks") -> str | None:
    """The modules of a network and the shapes of its tensors; None where it cannot be built."""
    try:
        network = networks.get(settings)
    except RequestError:
        return None
    assert network is not None
    return f"{network} {[(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]}"


def _identical(group: Indices, descriptions: Sequence[str | None], outputs: "_Outputs") -> list[Indices]:
    """Those of a group that have the same modules, and the same output for the same random images."""
    sets: list[Indices] = []
    for index in group:
        description = descriptions[index]
        alike = [known for known in sets if description is not None and descriptions[known[0]] == description]
        same = next((known for known in alike if outputs.are_equal(known[0], index)), None)
        if same is None:
            sets.append([index])
        else:
            same.append(index)
    return [members for members in sets if len(members) > 1]


class _Outputs:
    """What networks of the same initial weights answer to the same two images of noise."""

    def __init__(self, compared: Sequence[RunSettings]) -> None:
        self._compared = compared
        self._known: dict[int, Tensor | None] = {}

    def are_equal(self, first: int, second: int) -> bool:
        """Whether both answer, and the same to the last bit."""
        one, other = self._output(first), self._output(second)
        return one is not None and other is not None and one.equal(other)

    def _output(self, index: int) -> "Tensor | None":
        if index not in self._known:
            try:
                self._known[index] = self._compute(self._compared[index])
            except Exception:  # a class of the user's own may need what only a run has: nothing is said of it
                self._known[index] = None
        return self._known[index]

    def _compute(self, settings: RunSettings) -> "Tensor":
        import torch

        from trainlab.build.networks import build_network, input_shape_CHW

        shape = input_shape_CHW(settings)
        torch.manual_seed(0)
        num_classes = settings.data.num_classes
        assert num_classes is not None
        network: nn.Module = build_network(settings, shape, num_classes).eval()
        x_NCHW = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(0)
        with torch.inference_mode():
            return network(x_NCHW)
