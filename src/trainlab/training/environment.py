"""What is set once in a process that trains: memory, warnings, determinism."""

import ctypes
import logging
import os
import platform
import warnings

import lightning  # noqa: F401 - sets up the loggers that are quietened below
import torch

# Parameters of mallopt (malloc.h)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MAX_KEPT_BYTES = 2**30
NEVER_TRIM = 2**31 - 1


def keep_freed_memory() -> None:
    """Tells glibc not to return large blocks to the system; does nothing with other C libraries.

    By default each activation of more than 128 KiB is mapped anew and unmapped in every step: for LeNet-5 at
    batch 128 that is 1,800 page faults and a quarter of the step's time. What a process holds is then its
    largest need so far, as it is on a GPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_MMAP_THRESHOLD, MAX_KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)


def configure_process() -> None:
    """Quiet, reproducible, and without what an earlier run left in the environment."""
    keep_freed_memory()
    for name in [n for n in os.environ if n.startswith("PL_")]:
        del os.environ[name]  # Lightning's own variables leak from one run into the next
    # Lightning lets torch count GPUs in a way that survives a fork; on a machine without one, each step of an
    # optimizer would then search the disk for a driver, and a process that trains has been forked already
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    # cuBLAS is deterministic only with this
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # torch would write NaN into each tensor before it is filled, to show up reads of what was not written
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyrefly: ignore[missing-attribute]
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it; no effect on a CPU
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Hydra and Lightning would each print every line
    logging.getLogger("lightning").handlers.clear()
    # images are indexed in memory: there is nothing for loader workers to do
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    # Lightning's own use of torch, nothing that a user can change
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    # a run that starts from another's checkpoint writes its own elsewhere
    warnings.filterwarnings("ignore", message=".*The dirpath has changed from.*")
    # a checkpoint is read with weights_only, and an interrupted run finds its folder as it left it
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
