"""Layer-sequential unit variance: orthogonal weights, rescaled on a batch, layer by layer."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.nn.initializers import Orthogonal
from trainlab.nn.layers import restored_modes, weight_layers


@dataclass(frozen=True)
class LSUV:
    """Orthonormal weights, then W ← W / std(output) layer by layer on a batch (Mishkin & Matas 2016, Alg. 1).

    The layers are taken in the order in which the batch reaches them, each with those before it already
    scaled; the output is the pre-activation. One division is exact for a layer that is linear in its weight;
    others are divided again until |variance − 1| < `tolerance`, at most `max_iterations` times. The pass is
    that of a first training step without dropout, and leaves buffers (BatchNorm's statistics), modes and
    random state as they were.

    Raises RequestError for a layer whose output has no variance, or no finite one: no scale can mend it.
    """

    tolerance: float = 1e-3
    max_iterations: int = 10

    def __call__(self, layer: nn.Module, negative_slope: float = 0.0) -> None:
        """Orthonormal weights, zero biases: the start that `on_batch` rescales."""
        Orthogonal()(layer, negative_slope)

    @torch.no_grad()
    def on_batch(self, network: nn.Module, x_NCHW: Float[Tensor, "N C H W"]) -> None:
        """Rescale the weight layers of `network` in one pass of the batch, float and already normalized."""
        done: set[str] = set()

        def rescale(name: str) -> Callable[..., Tensor]:
            def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
                if name in done:  # a layer used twice keeps the scale of its first use
                    return output
                done.add(name)
                return self._to_unit_variance(name, layer, inputs, output)

            return hook

        with ExitStack() as stack:
            stack.enter_context(_train_mode_restored(network))
            for name, layer in weight_layers(network):
                stack.callback(layer.register_forward_hook(rescale(name)).remove)
            network(x_NCHW)

    def _to_unit_variance(
        self, name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor:
        for _ in range(self.max_iterations):
            variance = output.var().item()
            if not 0 < variance < float("inf"):
                raise RequestError(
                    f"init=lsuv: layer '{name}' has variance {variance:g} on the batch, expected above 0"
                )
            if abs(variance - 1) < self.tolerance:
                break
            layer.get_parameter("weight").div_(variance**0.5)
            output = layer.forward(*inputs)  # not layer(…): its hooks have run
        return output


@contextmanager
def _train_mode_restored(network: nn.Module) -> Generator[None, None, None]:
    """Training mode, without dropout; afterwards modes, buffers and random state are as before."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    devices = {p.device for p in network.parameters() if p.device.type == "cuda"}
    with restored_modes(network), torch.random.fork_rng(devices=list(devices)):
        network.train()
        for module in network.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()
        try:
            yield
        finally:
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
