"""Why a step raises, in one line with got and expected: types, shapes and layouts that torch words badly.

Legend: N images, C channels, H × W pixels, K classes.
"""

import textwrap

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.layer_names import describe_layer
from trainlab.errors import error_with_type
from trainlab.nn.layers import is_weight_layer

LONGEST_ERROR = 300
"""Characters of somebody else's error that are told."""

EXPECTED_CLASSES = "expected classes 0 … K − 1 as int64 of shape (N,)"


NORMS = (
    _BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip


class ForwardTrace:
    """Which module a forward pass is in when it fails, with what input; and the first layer's z, normalized.

    `remove` takes the hooks off.
    """

    def __init__(self, network: nn.Module) -> None:
        self.last: tuple[str, nn.Module, Tensor] | None = None
        self.first_z: Tensor | None = None
        self._first_layer_only = True
        self._handles = []
        for name, module in network.named_modules():
            if not list(module.children()):
                self._handles.append(module.register_forward_pre_hook(self._entering(name)))
            if (is_weight_layer(module) and not isinstance(module, nn.Embedding)) or isinstance(
                module, NORMS
            ):
                self._handles.append(module.register_forward_hook(self._leaving_layer))

    def _entering(self, name: str):
        def enter(module: nn.Module, inputs: tuple[object, ...]) -> None:
            x = inputs[0] if inputs else None
            self.last = (name, module, x) if isinstance(x, Tensor) else None

        return enter

    def _leaving_layer(self, module: nn.Module, inputs: object, z: object) -> None:
        if not isinstance(z, Tensor) or not z.is_floating_point():
            return
        is_norm = isinstance(module, NORMS)
        if self.first_z is None and not is_norm:
            self.first_z = z.detach()
        elif self._first_layer_only and is_norm:  # repairs the scale of what the first layer gives
            self.first_z, self._first_layer_only = z.detach(), False
        elif not is_norm:
            self._first_layer_only = False

    @property
    def last_activation(self) -> str | None:
        """The module that ran last, described, where it is an activation."""
        if self.last is None or type(self.last[1]).__module__ != activation.__name__:
            return None
        return describe_layer(*self.last[:2])

    def remove(self) -> None:
        """The network has no hooks of ours any more."""
        while self._handles:
            self._handles.pop().remove()


def explain_failed_forward(network: nn.Module, x: Tensor, trace: ForwardTrace, error: Exception) -> Finding:
    """The cause of an exception in the network, from its first layer, its images and where it was."""
    return (
        _wrong_type(network, x)
        or _batchnorm_of_one(trace, error)
        or _wrong_layout(network, x, trace)
        or _wrong_features(x, trace)
        or _unexplained(f"the network cannot be run on an input of shape {_shape(x)}", trace, error)
    )


def _wrong_type(network: nn.Module, x: Tensor) -> Finding | None:
    first = next((m for m in network.modules() if is_weight_layer(m)), None)
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    if first is None or dtype is None or x.dtype == dtype:
        return None
    got, wanted = _dtype(x), str(dtype).removeprefix("torch.")
    if isinstance(first, nn.Embedding):
        if not x.is_floating_point():
            return None
        code = "x = x.long()"
        return Finding(
            "input_wrong_type", f"the input is {got}, the first layer takes indices (int64)", code=code
        )
    hint = " (bytes)" if x.dtype == torch.uint8 else ""
    description = f"the images are {got}{hint}, the network's weights {wanted}: expected the same"
    code = "x = x.float() / 255" if x.dtype == torch.uint8 else f"x = x.to(torch.{wanted})"
    return Finding("input_wrong_type", description, code=code)


def _batchnorm_of_one(trace: ForwardTrace, error: Exception) -> Finding | None:
    if "Expected more than 1 value per channel" not in str(error) or trace.last is None:
        return None
    name, module, x = trace.last
    layer = describe_layer(name, module)
    description = f"{layer} gets {_shape(x)}, one value a channel: it can only be normalized to 0"
    return Finding("batchnorm_of_one_image", description, {"images": float(len(x))}, layer)


def _wrong_layout(network: nn.Module, x: Tensor, trace: ForwardTrace) -> Finding | None:
    first = next((m for m in network.modules() if isinstance(m, _ConvNd)), None)
    if not isinstance(first, nn.Conv2d):
        return None
    shape, wanted = _shape(x), first.in_channels
    if x.dim() == 3 and x.shape[0] != wanted:
        description = f"the images have the shape (N, H, W), here {shape}, expected (N, C, H, W)"
        return Finding("input_wrong_shape", description, code="x = x.unsqueeze(1)")
    if x.dim() == 2:
        description = f"the images have the shape {shape}, expected (N, C, H, W)"
        return Finding("input_wrong_shape", description, code=f"x = x.view(-1, {wanted}, height, width)")
    if x.dim() != 4 or x.shape[1] == wanted:
        return None
    if x.shape[3] == wanted:
        description = f"the images have the shape (N, H, W, C), here {shape}, expected (N, C, H, W)"
        return Finding("channels_last", description)
    description = (
        f"the images have {x.shape[1]} channels, shape {shape}; the first convolution takes {wanted}"
    )
    code = (
        f"nn.Conv2d({x.shape[1]}, {first.out_channels}, {first.kernel_size})  # or x = x.expand(-1, "
        f"{wanted}, -1, -1)"
    )
    return Finding("input_wrong_shape", description, code=code)


def _wrong_features(x: Tensor, trace: ForwardTrace) -> Finding | None:
    """A dense layer gets another number of features than it has: the flattening is missing, or miscounted."""
    if trace.last is None or not isinstance(trace.last[1], nn.Linear):
        return None
    name, module, got = trace.last
    assert isinstance(module, nn.Linear)
    if got.shape[-1] == module.in_features:
        return None
    layer = describe_layer(name, module)
    flat = got.flatten(1).shape[1] if got.dim() > 1 else len(got)
    description = (
        f"{layer} gets {_shape(got)} (input {_shape(x)}), expected {module.in_features:,} features in the "
        "last dimension"
    )
    code = f"nn.Linear({got.shape[-1]}, {module.out_features})"
    if got.dim() > 2:
        code = "x = x.flatten(1)  # before the layer"
        if flat != module.in_features:
            code += f"; it gets {flat} features then: nn.Linear({flat}, {module.out_features})"
    return Finding("input_wrong_shape", description, layer=layer, code=code)


def explain_failed_loss(output: object, targets: object, error: Exception) -> Finding:
    """The cause of an exception in the loss, from what it was handed."""
    if isinstance(output, Tensor) and isinstance(targets, Tensor):
        found = labels_out_of_range(output, targets)
        if found is None and isinstance(error, RuntimeError | ValueError | TypeError | IndexError):
            found = _wrong_labels(output, targets)
        if found is not None:
            return found
        if "between 0 and 1" in str(error):
            low, high = float(output.min()), float(output.max())
            description = (
                f"the loss takes probabilities, and the outputs lie between {low:.3g} and {high:.3g}"
            )
            return Finding(
                "step_fails", description, code="criterion = nn.BCEWithLogitsLoss()  # takes logits"
            )
    what = f"the loss cannot be taken of {_kind(output)} and {_kind(targets)}"
    return Finding("step_fails", f"{what}: {short_error(error)}")


def labels_out_of_range(output: Tensor, y: Tensor) -> Finding | None:
    """Of classes as whole numbers, (N,) or (N, …), beside outputs (N, K) or (N, K, …)."""
    if output.dim() < 2 or y.is_floating_point() or y.dtype == torch.bool or not y.numel():
        return None
    if y.shape != (len(output), *output.shape[2:]):
        return None
    low, high, classes = int(y.min()), int(y.max()), output.shape[1]
    if low >= 0 and high < classes:
        return None
    numbers = {"lowest": float(low), "highest": float(high), "outputs": float(classes)}
    got = f"the labels are {low} … {high}, and the network has {classes} outputs"
    if classes == 1:
        description = f"{got}: a softmax cross-entropy needs one output a class"
        return Finding("one_output_unit", description, numbers)
    if low == 1 and high == classes:
        return Finding("labels_off_by_one", f"{got}: labels count from 0 to {classes - 1}", numbers)
    wrong = int(((y < 0) | (y >= classes)).sum())
    description = f"{got}: {wrong} of {y.numel()} labels are outside of 0 … {classes - 1}"
    code = (
        f"nn.Linear(features, {high + 1})  # one output a class"
        if low >= 0
        else "y[y < 0] = -100  # ignore_index"
    )
    return Finding("labels_out_of_range", description, numbers, code=code)


def _wrong_labels(output: Tensor, y: Tensor) -> Finding | None:
    got = f"the labels are {_dtype(y)} of shape {_shape(y)}, the outputs {_shape(output)}"
    if len(y) != len(output):
        description = f"{got}: {len(output)} outputs for {len(y)} labels"
        return Finding(
            "labels_wrong_type", description, code="y = y[: len(output)]  # or the output was reshaped"
        )
    is_one_column = y.dim() == 2 and y.shape[1] == 1
    has_classes = output.dim() > 1 and output.shape[1] > 1
    if is_one_column and has_classes:
        return Finding("labels_wrong_type", f"{got}, {EXPECTED_CLASSES}", code="y = y.squeeze(1).long()")
    if has_classes and y.dim() == 2 and y.shape == output.shape and not y.is_floating_point():
        return Finding("labels_wrong_type", f"{got}: one-hot? {EXPECTED_CLASSES}", code="y = y.argmax(1)")
    if has_classes and y.dim() == 2 and y.is_floating_point() and y.shape != output.shape:
        return Finding("labels_wrong_type", f"{got}: one-hot? {EXPECTED_CLASSES}", code="y = y.argmax(1)")
    if has_classes and y.dim() == output.dim() - 1 and y.dtype != torch.int64:
        return Finding("labels_wrong_type", f"{got}, {EXPECTED_CLASSES}", code="y = y.long()")
    if output.numel() == y.numel() and output.shape != y.shape:
        code = "output = output.squeeze(1)" if output.dim() > y.dim() else "y = y.squeeze(1)"
        return Finding("labels_wrong_type", f"{got}: expected one shape for both", code=code)
    if output.numel() == y.numel() and not y.is_floating_point():
        return Finding(
            "labels_wrong_type", f"{got}: expected floats, as the outputs are", code="y = y.float()"
        )
    return None


def short_error(error: Exception) -> str:
    """`TypeError: …` in one line: torch's own go on for pages."""
    return textwrap.shorten(error_with_type(error), LONGEST_ERROR, placeholder=" …")


def _unexplained(what: str, trace: ForwardTrace, error: Exception) -> Finding:
    where = describe_layer(*trace.last[:2]) if trace.last is not None else None
    at = f", at {where}" if where else ""
    return Finding("step_fails", f"{what}{at}: {short_error(error)}", layer=where)


def _shape(x: Tensor) -> str:
    return str(tuple(x.shape))


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _kind(value: object) -> str:
    return f"{_dtype(value)} {_shape(value)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
