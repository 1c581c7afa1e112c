"""In which precision float32 is computed: TF32 where a GPU has it, or all of it; stated in the record."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainlab.json_types import JsonObject
from trainlab.settings import TrainerSettings


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
