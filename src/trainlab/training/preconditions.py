"""What can be said of a run before it has a folder: wrong requests end here, in one line."""

import warnings

import torch

from trainlab.build.data import describe_data_change
from trainlab.build.dry_run import validate_build
from trainlab.build.networks import MetaNetworks
from trainlab.data import ImageData
from trainlab.errors import RequestError
from trainlab.instantiate import instantiate
from trainlab.instantiate.parts import LOGGER
from trainlab.runs.groups import group_file
from trainlab.settings import RunSettings, TrainerSettings
from trainlab.training import resume
from trainlab.training.cuda_graph import check_cuda_graph
from trainlab.training.tracking import check_tracker


def check_settings(settings: RunSettings, networks: MetaNetworks | None = None) -> None:
    """Refuses what cannot be built, started or recorded, wherever it is going to run.

    `networks`, where many settings are checked, builds the network of several of them once.

    Raises:
        RequestError: by name, with what was expected.
    """
    if settings.group is not None:
        group_file(settings.paths.runs, settings.group)
    networks = networks or MetaNetworks()
    validate_build(settings, networks)
    if settings.trainer.accelerator == "cpu":
        check_precision(settings.trainer.precision)
        check_cuda_graph(settings.trainer, has_cuda=False)
    check_tracker(settings.logger)
    instantiate(settings.logger, LOGGER)
    resume.check_resume(settings, networks=networks)


def check_hardware(trainer: TrainerSettings) -> None:
    """Refuses devices that this machine does not have.

    Raises:
        RequestError: with what it has.
    """
    kind, wanted = trainer.accelerator, trainer.devices
    gpus, why_none = _cuda_devices()
    has_mps = torch.backends.mps.is_available()
    check_cuda_graph(trainer, has_cuda=bool(gpus))
    if (kind == "gpu" and not gpus and not has_mps) or (kind == "mps" and not has_mps):
        raise RequestError(
            f"trainer.accelerator={kind}: there is none that torch can use here{why_none}; "
            "expected trainer=cpu, or auto for the fastest that there is"
        )
    if kind == "cpu" or (kind == "auto" and not gpus and not has_mps):
        check_precision(trainer.precision)
        return
    there = gpus if gpus and kind != "mps" else 1
    if wanted > there:
        raise RequestError(f"trainer.devices={wanted}: expected at most {there}, the GPUs of this machine")


def _cuda_devices() -> tuple[int, str]:
    """How many CUDA devices torch can use; where there is none, in brackets, why (a driver too old)."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    # `CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please …`
    words = next((str(one.message) for one in told if "CUDA" in str(one.message)), "")
    reason = words.removeprefix("CUDA initialization: ").partition(". ")[0].splitlines()
    return gpus, f" ({reason[0]})" if reason and not gpus else ""


def check_precision(precision: str) -> None:
    """Refuses what a CPU does not have: Lightning would take bfloat16, and the record say float16.

    Raises:
        RequestError: with what a CPU has beside it.
    """
    if precision == "16-mixed":
        raise RequestError(
            "trainer.precision=16-mixed: mixed precision in float16 needs a GPU; "
            "on a CPU expected bf16-mixed or 32-true"
        )


def check_data(settings: RunSettings, images: ImageData) -> None:
    """Refuses data that have changed since the run was named after them.

    Raises:
        RequestError: with both fingerprints.
    """
    if change := describe_data_change(settings, images):
        raise RequestError(f"{change}; start it again with the same command, and it gets an id of its own")
