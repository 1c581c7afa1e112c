"""What cannot be built or started is refused first: every distinct network once, on the meta device."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.errors import RequestError
from trainlab.sweeps.plan import Job, listed
from trainlab.sweeps.server import WarmServer

CHECK = "trainlab.sweeps.architectures:faults"
_PARTS = ("model", "norm_layer", "activation", "pool", "init", "optimizer", "scheduler", "logger")
_DATA = ("image_size", "channels", "num_classes", "batch_size", "train_size")


def check_architectures(jobs: Sequence[Job], server: WarmServer) -> None:
    """Builds every distinct architecture of these jobs in one process of the warm server.

    Raises:
        RequestError: all that cannot be built, a line each.
    """
    distinct: dict[str, Job] = {}
    for job in jobs:
        distinct.setdefault(_architecture(job.settings), job)
    if not distinct:
        return
    found = server.ask(CHECK, [job.settings for job in distinct.values()])
    faults = list(dict.fromkeys(fault for fault in found if fault))
    if faults:
        raise RequestError(listed(faults))


def _architecture(settings: Mapping[str, Any]) -> str:
    """Everything that decides whether a run can be built and started, as one text."""
    parts = {part: settings[part] for part in _PARTS}
    data = {name: settings["data"][name] for name in _DATA}
    start = [settings["fingerprint"], settings["trainer"]] if isinstance(settings["resume"], str) else None
    others = [settings["trainer"]["devices"], settings["group"], settings["resume"], start]
    return json.dumps([parts, data, others], sort_keys=True)


def faults(wanted: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """For each of these settings why it cannot be built, or None. Runs in a warm process, with torch."""
    from trainlab.training.preconditions import check

    return [_fault(settings, check) for settings in wanted]


def _fault(settings: Mapping[str, Any], check: Any) -> str | None:
    try:
        check(settings)
    except RequestError as error:
        return str(error)
    return None
