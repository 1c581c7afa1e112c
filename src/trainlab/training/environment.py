"""Settings of a training process, made once (memory, warnings, determinism), and the precision of float32."""

import ctypes
import logging
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning  # noqa: F401 - creates the loggers that are silenced below
import torch

from trainlab.json_types import JsonObject
from trainlab.settings import TrainerSettings

# Parameters of mallopt (malloc.h)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MAX_KEPT_BYTES = 2**30
NEVER_TRIM = 2**31 - 1


def keep_freed_memory() -> None:
    """Tells glibc not to return large blocks to the system; does nothing with other C libraries.

    By default glibc maps and unmaps each activation of more than 128 KiB in every step: for LeNet-5 at batch
    128 that is 1,800 page faults and a quarter of the step's time. With these settings the process keeps the
    most memory that it has needed so far, as it does on a GPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_MMAP_THRESHOLD, MAX_KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)


def configure_process() -> None:
    """Makes training reproducible, silences known warnings, clears variables that an earlier run has set."""
    keep_freed_memory()
    for name in [n for n in os.environ if n.startswith("PL_")]:
        del os.environ[name]  # Lightning sets these for one run, and the next run would inherit them
    # With this variable, which Lightning sets, torch counts GPUs in a way that is safe before a fork. But a
    # training process has been forked already, and without a GPU each step would search the disk for a driver
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    # cuBLAS is deterministic only with this setting
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # by default, deterministic torch first fills each new tensor with NaN, to reveal uninitialized reads
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyrefly: ignore[missing-attribute]
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that support it; no effect on a CPU
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # otherwise both Hydra and Lightning print each line
    logging.getLogger("lightning").handlers.clear()
    # the images are in memory: loader workers would have nothing to do
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    # caused by Lightning's own calls of torch; a user cannot change it
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    # expected when a run starts from the checkpoint of another run and writes its own to another folder
    warnings.filterwarnings("ignore", message=".*The dirpath has changed from.*")
    # expected when an interrupted run is resumed
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    # expected in 16-mixed, whose loss scale skips the first steps until it has found its size
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step")


@contextmanager
def use_tf32(trainer: TrainerSettings) -> Iterator[None]:
    """While the run computes: TF32 in matrix products and convolutions, or full float32 in both.

    TF32 keeps 10 bits of each factor's mantissa and adds in float32; NVIDIA's cards since Ampere have it.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if trainer.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = trainer.tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def describe_precision(device: torch.device, trainer: TrainerSettings) -> JsonObject:
    """How numbers are computed now, on this device, for the record."""
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return {
        "precision": trainer.precision,
        "float32_matmul": torch.get_float32_matmul_precision(),
        "tf32": has_tf32 and trainer.tf32,
    }
