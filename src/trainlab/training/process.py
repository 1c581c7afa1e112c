"""What is set once in a process that trains."""

import logging
import os
import warnings

import lightning  # noqa: F401 - sets up the loggers that are quietened below
import torch
from lightning.pytorch.utilities import rank_zero_only

from trainlab.training.allocator import keep_freed_memory


def is_rank_zero() -> bool:
    """Whether this process is the one that writes; of several that share a run, there is one."""
    return getattr(rank_zero_only, "rank", 0) == 0


def configure() -> None:
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
