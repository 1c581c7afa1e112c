"""A saved run's network as a file for other programs: safetensors, ONNX."""

from pathlib import Path

import torch
from torch import nn

from trainlab.errors import RequestError
from trainlab.serving.saved_model import ModelDescription


def export_safetensors(model: nn.Module, description: ModelDescription, path: Path) -> None:
    """Weights and buffers as safetensors, with run id and classes as metadata.

    Raises:
        RequestError: the extra `export` is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ModuleNotFoundError:
        raise _missing_extra_error("safetensors") from None
    metadata = {"run_id": description["run_id"], "classes": ",".join(map(str, description["classes"]))}
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path, metadata=metadata)


def export_onnx(model: nn.Module, description: ModelDescription, path: Path) -> None:
    """ONNX with input `pixels` (N, C, H, W; uint8, any N) and output `logits` (N, K).

    Raises:
        RequestError: the extra `export` is not installed.
    """
    try:
        import onnx  # noqa: F401 - torch needs both, and fails late without them
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing_extra_error(str(error.name)) from None
    x_NCHW = torch.zeros(2, *description["in_shape_CHW"], dtype=torch.uint8)
    torch.onnx.export(
        model, (x_NCHW,), path, input_names=["pixels"], output_names=["logits"], dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False, verbose=False,
    )  # fmt: skip


def _missing_extra_error(package: str) -> RequestError:
    return RequestError(f"{package} is not installed; pip install 'trainlab[export]'")
