"""What one would write by hand for a GPU: images on the card, a loop; and its step as a graph."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu.step_time import BATCH_SIZE
from benchmarks.hand_loop import initialize
from trainlab.data import ImageData

WARM_UP_STEPS = 11
"""Before a step is captured, as torch's documentation asks for."""


class HandLoop:
    """Trains with Adam on images that lie on the device; `run(steps)` returns samples per second.

    The network lies as N, H, W, C, Adam is the fused one, products are in TF32: as the platform has them.
    """

    def __init__(
        self, network: Callable[[], nn.Module], images: ImageData, device: torch.device, graph: bool
    ):
        train = images.train
        x_NHWC = torch.from_numpy(np.ascontiguousarray(train.x_NHWC[train.index])).to(device)
        self._x_NHWC, self._y_N = x_NHWC, torch.from_numpy(train.labels_N).to(device)
        self._shift = (255 * torch.tensor(images.mean_C, device=device))[:, None, None]
        self._scale = 1 / (255 * torch.tensor(images.std_C, device=device)[:, None, None])
        self._device = device
        torch.set_float32_matmul_precision("high")
        self._network = network().to(device)
        initialize(self._network)
        self._network = self._network.to(memory_format=torch.channels_last)
        on_gpu = device.type == "cuda"
        self._optimizer = torch.optim.Adam(
            self._network.parameters(), lr=1e-3, fused=True, capturable=graph and on_gpu
        )
        self._batch = torch.zeros(BATCH_SIZE, dtype=torch.int64, device=device)
        self._graph = self._capture() if graph and on_gpu else None

    def run(self, steps: int) -> float:
        """So many steps, epochs in new orders, and their rate."""
        per_epoch = len(self._y_N) // BATCH_SIZE
        self._wait()
        began = time.perf_counter()
        order = torch.randperm(len(self._y_N), device=self._device)
        for step in range(steps):
            if step and step % per_epoch == 0:
                order = torch.randperm(len(self._y_N), device=self._device)
            first = step % per_epoch * BATCH_SIZE
            self._batch.copy_(order[first : first + BATCH_SIZE])
            if self._graph is None:
                self._step()
            else:
                self._graph.replay()
        self._wait()
        return steps * BATCH_SIZE / (time.perf_counter() - began)

    def _step(self) -> Tensor:
        x_NCHW = self._x_NHWC.index_select(0, self._batch).permute(0, 3, 1, 2)
        x_NCHW = (x_NCHW.float() - self._shift) * self._scale
        y_N = self._y_N.index_select(0, self._batch)
        loss = nn.functional.cross_entropy(self._network(x_NCHW), y_N)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss

    def _capture(self) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._step()
        return graph

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
