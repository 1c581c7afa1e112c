"""What runs at the same time, on what: cores shared out, or GPUs."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from trainlab.config.composition import validate_model
from trainlab.errors import RequestError

Count = Annotated[int, Field(ge=1)]


class SlotSettings(BaseModel):
    """`hydra.launcher.slots`, `.threads`, `.runs_per_gpu`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    slots: Count | None = None
    threads: Count | None = None
    runs_per_gpu: Count = 1


LauncherSettings = TypeVar("LauncherSettings", bound=SlotSettings)


@dataclass(frozen=True)
class Slot:
    """Room for one run: its CPU threads, and the only GPU that is visible to it."""

    threads: int
    gpu: str | None = None


def validate_launcher_settings(
    model: type[LauncherSettings], values: Mapping[str, object]
) -> LauncherSettings:
    """A launcher's settings, checked. Raises RequestError naming `hydra.launcher.…` in one line."""
    try:
        return validate_model(model, values)
    except RequestError as error:
        fault = str(error).replace("unknown setting '", "unknown setting 'hydra.launcher.")
        prefix = "" if fault.startswith("unknown") else "hydra.launcher."
        raise RequestError(f"{prefix}{fault.replace('; ', '; hydra.launcher.')}") from None


def make_slots(settings: SlotSettings, accelerator: str, gpus: Sequence[str], cores: int) -> list[Slot]:
    """The slots of this machine for runs on `accelerator` (auto, cpu, gpu, mps).

    On CPU one slot per core; on GPUs one slot per GPU or `runs_per_gpu`; on mps one. A run on the CPU has one
    thread, as it has alone, unless the settings say otherwise: the same run has the same bits.
    Fewer `slots` than GPUs leave a slot for each GPU all the same: a run over several devices takes several,
    and `max_concurrent_runs` says how many runs go.
    """
    if accelerator in ("auto", "gpu") and gpus:
        shared = [gpu for _ in range(settings.runs_per_gpu) for gpu in gpus]
        threads = settings.threads or max(1, cores // (settings.slots or len(shared)))
        count = max(settings.slots or 0, len(shared))
        return [Slot(threads, shared[i % len(shared)]) for i in range(count)]
    if accelerator == "mps":
        count = settings.slots or settings.runs_per_gpu
        return [Slot(settings.threads or max(1, cores // count))] * count
    threads = settings.threads or 1
    return [Slot(threads)] * (settings.slots or max(1, cores // threads))


def max_concurrent_runs(settings: SlotSettings, slots: Sequence[Slot]) -> int:
    """How many runs go at the same time: `slots` of the settings, or one in each slot."""
    return min(settings.slots or len(slots), len(slots))


def visible_gpus() -> list[str]:
    """The names of the CUDA devices that runs may use, found without torch; honours CUDA_VISIBLE_DEVICES."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in visible.split(",")]
        return [name for name in names if name and name != "-1"]
    if listed := sorted(Path("/proc/driver/nvidia/gpus").glob("*")):
        return [str(i) for i in range(len(listed))]
    if not (command := shutil.which("nvidia-smi")):
        return []
    answer = subprocess.run([command, "-L"], capture_output=True, text=True, check=False)
    return [str(i) for i, line in enumerate(answer.stdout.splitlines()) if line.startswith("GPU ")]


def allocate_slots(free: Sequence[Slot], devices: int, total: int) -> list[Slot] | None:
    """Slots for a run over `devices` devices, each GPU once, or None while there are too few free ones."""
    wanted = min(devices, total)
    chosen: list[Slot] = []
    for slot in free:
        if len(chosen) < wanted and (slot.gpu is None or slot.gpu not in {s.gpu for s in chosen}):
            chosen.append(slot)
    return chosen if len(chosen) == wanted else None


def slot_environment(slots: Sequence[Slot]) -> dict[str, str]:
    """Environment variables that restrict a run to its GPUs, set before torch is imported."""
    gpus = [slot.gpu for slot in slots if slot.gpu is not None]
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
