"""Processes that train at the same time on one device, each as the platform trains one run."""

import multiprocessing
import os
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType

from benchmarks.gpu.lab import Lab
from benchmarks.gpu.step_time import Run, single_runs


class RateProcesses:
    """`count` processes, forked before this one has touched the device; all begin a run together."""

    def __init__(self, lab: Lab, count: int):
        context = multiprocessing.get_context("fork")
        self._ends: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(lab, number, theirs), daemon=True)
            process.start()
            theirs.close()
            self._ends.append(ours)
            self._processes.append(process)

    def seconds(self, count: int, network: Sequence[str], steps: int) -> list[float]:
        """Of the first `count` processes, what the steps of a run took that all began at the same moment."""
        ends = self._ends[:count]
        for end in ends:
            end.send((tuple(network), steps))
        answers = [end.recv() for end in ends]
        if faults := [answer for answer in answers if isinstance(answer, str)]:
            raise RuntimeError(faults[0])
        return answers

    def __enter__(self) -> "RateProcesses":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()


def _serve(lab: Lab, number: int, connection: Connection) -> None:
    lab.folder = lab.folder / f"process-{number}"
    lab.folder.mkdir(exist_ok=True)
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 8))
    runs: dict[tuple[str, ...], Run] = {}
    while True:
        try:
            network, steps = connection.recv()
        except EOFError:
            os._exit(0)
        try:
            if network not in runs:
                runs[network] = single_runs(lab, network)
            connection.send(runs[network](steps))
        except Exception:
            connection.send(traceback.format_exc())
