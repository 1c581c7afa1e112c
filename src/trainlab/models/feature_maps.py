"""What an image becomes on its way through a network: maps and kernels of each convolution.

Legend: C channels in, F maps out, k × k kernel, h × w map.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from threading import get_ident

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from trainlab.errors import RequestError
from trainlab.models.receptive_field import ReceptiveField, Size, TrackReceptiveFields, propagate
from trainlab.nn.layers import LocallyConnected2d, is_activation, restored_modes

CONVOLUTIONS = (_ConvNd, LocallyConnected2d)


@dataclass
class ConvolutionView:
    """One convolution, as one image passes it.

    z_Fhw: what it gives. a_Fhw: the same after the next activation and what lies before it (norm layers, a
    shortcut's sum); z_Fhw itself where no activation comes before the next convolution.
    kernels_FCkk: its weights (C: channels of a group); None of a locally connected layer, which has a kernel
    for every position.
    field: what a unit sees, `field.pixels_at((row, column))`; None where it is unknown.
    """

    name: str
    kind: str
    z_Fhw: Tensor
    a_Fhw: Tensor
    kernels_FCkk: Tensor | None
    field: ReceptiveField | None

    def pixels_seen_by(self, position: Size, image_HW: Size) -> tuple[Size, Size] | None:
        """(first row and column, those after the last) of what a unit sees, cut at the image's edge."""
        if self.field is None:
            return None
        first, last = self.field.pixels_at(position)
        return tuple(max(0, a) for a in first), tuple(map(min, last, image_HW))


@torch.no_grad()
def feature_maps(network: nn.Module, x_1CHW: Tensor) -> list[ConvolutionView]:
    """Every convolution of `network` for one image, in the order in which they run; a dense network has none.

    The network runs once, in eval mode, and is left as it was. What a layer that runs twice did is listed
    twice.

    Raises RequestError for anything but one image, and where the network does not take it.
    """
    if x_1CHW.dim() != 4 or len(x_1CHW) != 1:
        raise RequestError(f"feature maps: got {tuple(x_1CHW.shape)}, expected one image (1, C, H, W)")
    views: list[ConvolutionView] = []
    x_1CHW = x_1CHW.clone()  # it is marked with its field
    ReceptiveField.of_pixels(2).attach(x_1CHW)
    with ExitStack() as stack:
        for name, module in network.named_modules():
            if not list(module.children()) or isinstance(module, CONVOLUTIONS):
                stack.callback(module.register_forward_hook(_record_convolution(name, views)).remove)
            if is_activation(name, module):
                stack.callback(module.register_forward_hook(_record_activation(views)).remove)
        stack.enter_context(TrackReceptiveFields())
        stack.enter_context(restored_modes(network))
        try:
            network.eval()(x_1CHW)
        except (RuntimeError, ValueError) as error:
            got = " × ".join(map(str, x_1CHW.shape[1:]))
            reason = str(error).splitlines()[0]
            raise RequestError(f"{type(network).__name__} takes no image of {got}: {reason}") from error
    return views


def _record_convolution(name: str, views: list[ConvolutionView]) -> Callable[..., None]:
    thread = get_ident()  # threads may share a network: each records its own pass

    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if get_ident() != thread:
            return
        if not (inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)):
            return
        field = propagate(module, inputs[0], output)
        if isinstance(module, CONVOLUTIONS) and output.dim() == 4:
            kernels = module.weight.detach().clone() if isinstance(module, _ConvNd) else None
            z_Fhw = output[0].detach().clone()
            views.append(ConvolutionView(name, type(module).__name__, z_Fhw, z_Fhw, kernels, field))

    return hook


def _record_activation(views: list[ConvolutionView]) -> Callable[..., None]:
    thread = get_ident()

    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if get_ident() != thread:
            return
        has_no_activation = bool(views) and views[-1].a_Fhw is views[-1].z_Fhw
        if has_no_activation and isinstance(output, Tensor) and output.shape[1:] == views[-1].z_Fhw.shape:
            views[-1].a_Fhw = output[0].detach().clone()

    return hook
