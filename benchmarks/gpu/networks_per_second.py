"""How many networks are trained in a second, by the clock of their steps alone."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from statistics import median

from benchmarks.gpu.lab import NETWORKS, Lab
from benchmarks.gpu.rate_process import RateProcesses
from benchmarks.gpu.step_time import FEW_STEPS, StepTimer, single_runs

STEPS = 1000
"""Of a network: what its seconds are counted for."""
OVER_ONE, OVER_PROCESSES = 10.0, 3.0
"""What stacks of 32 and more must reach, over one after the other and over the best number of processes."""
LEAST_STACK = 32
RESERVE_SECONDS = 8.0
COMPILE_SECONDS = 60.0
"""Of the processes that compile beforehand; what they have not done is done when it is needed."""


@dataclass
class Way:
    """A way to train a network; `seconds` are those of `STEPS` steps of one network, measured now."""

    network: str
    name: str
    seconds: Callable[[], float]
    rank: int
    stack: int = 0
    processes: int = 0

    @property
    def key(self) -> str:
        """`LeNet-5: stack of 32 + graph`."""
        return f"{self.network}: {self.name}"


Rates = dict[str, list[float]]
"""Networks per second of each round, by the key of the way."""


def networks_per_second(lab: Lab) -> None:
    """Ways of training take turns, both networks in each round, as many rounds as there is time for."""
    processes, sizes = lab.size((4, 8), (1, 2)), lab.size((8, 32, 128), (2, 4))
    compiling = _compile_kernels(lab, sizes)
    with RateProcesses(lab, max(processes)) as workers:
        for network in NETWORKS.values():  # while others run: every process starts the device
            with _told(lab, f"first runs of {network[0]}"):
                workers.seconds(max(processes), network, 2)
                single_runs(lab, network)(2)
        ways = [way for name in NETWORKS for way in _ways(lab, name, workers, processes, sizes)]
        ways.sort(key=lambda way: way.rank)  # of both networks, what the thresholds are about first
        for process in compiling:
            process.join(COMPILE_SECONDS)
        lab.wait_until_alone()
        for choices in lab.cache.glob("stacked-tuning-*.json"):
            choices.unlink()  # measured while others ran
        rates: Rates = {}
        failed: dict[str, str] = {}
        for number in range(lab.size(9, 1)):
            _do_round(lab, ways if number % 2 == 0 else ways[::-1], rates, failed)
            if lab.seconds_left < lab.size(30, 1):
                break


def _compile_kernels(lab: Lab, sizes: tuple[int, ...]) -> list[BaseProcess]:
    """Builds each stack once, a process a network, before this one touches the device.

    Compiled kernels stay on the disk; what is fastest is measured again once nothing else runs.
    """
    if not lab.on_gpu:
        return []
    context = multiprocessing.get_context("fork")
    processes: list[BaseProcess] = [
        context.Process(target=_build_stacks, args=(lab, name, sizes), daemon=True) for name in NETWORKS
    ]
    for process in processes:
        process.start()
    return processes


def _build_stacks(lab: Lab, name: str, sizes: tuple[int, ...]) -> None:
    from benchmarks.gpu.stack_steps import StackSteps

    for size in sizes:
        StackSteps(lab, NETWORKS[name], size).build()


@contextmanager
def _told(lab: Lab, name: str) -> Iterator[None]:
    """A fault while getting ready is told; the ways that have it will fail by themselves, and no others."""
    try:
        yield
    except Exception as error:
        lab.tell(**{name: f"{type(error).__name__}: {error}"[-800:]})


def _do_round(lab: Lab, ways: list[Way], rates: Rates, failed: dict[str, str]) -> None:
    for way in ways:
        if way.key in failed or lab.seconds_left < RESERVE_SECONDS:
            continue
        began = time.perf_counter()
        try:
            value = 1 / way.seconds()
            rates.setdefault(way.key, []).append(value)
        except Exception as error:  # one way that fails leaves the others
            failed[way.key] = f"{type(error).__name__}: {error}"[-800:]
        lab.tell(networks_per_second=rates, **{f"took, {way.key}": time.perf_counter() - began})
        _compare(lab, ways, rates, failed)


def _ways(
    lab: Lab, name: str, workers: RateProcesses, processes: tuple[int, ...], sizes: tuple[int, ...]
) -> list[Way]:
    """All of one network; those of stacks have their networks built already."""
    network = NETWORKS[name]
    has_graphs = lab.on_gpu and lab.has_trainer_setting("cuda_graph")
    off = lab.graph("off")
    ways = [Way(name, "one after the other", _alone(lab, single_runs(lab, network, *off)), 0)]
    if has_graphs:
        graph = single_runs(lab, network, *lab.graph("on"))
        ways.append(Way(name, "one after the other + graph", _alone(lab, graph), 3))
    most = max(processes)
    for count in processes:
        at_once = _in_processes(lab, (*network, *off), workers, count)
        ways.append(Way(name, f"{count} processes", at_once, 2 if count == most else 6, processes=count))
    if has_graphs:
        at_once = _in_processes(lab, (*network, *lab.graph("on")), workers, most)
        ways.append(Way(name, f"{most} processes + graph", at_once, 4, processes=most))
    return ways + [way for size in sizes for way in _stack_ways(lab, name, size, has_graphs)]


def _stack_ways(lab: Lab, name: str, size: int, has_graphs: bool) -> list[Way]:
    """Without a graph and with one, on the same stack."""
    from benchmarks.gpu.stack_steps import StackSteps

    steps = StackSteps(lab, NETWORKS[name], size)
    seconds = lab.size(1.2, 0.1)
    with _told(lab, f"getting ready, {name}: stack of {size}"):
        steps.prepare()

    def measured(with_graph: bool) -> float:
        try:
            steps.use_graph(with_graph)
            one_step = steps.seconds_per_step(seconds)
        finally:
            steps.release()  # the card holds no two large stacks with their graphs, and eight processes
        lab.tell(**{f"build, {name}: stack of {size}": steps.build_seconds})
        return STEPS * one_step / size

    def plain() -> float:
        return measured(with_graph=False)

    def graphed() -> float:
        return measured(with_graph=True)

    is_first = size == LEAST_STACK
    ways = [Way(name, f"stack of {size}", plain, 7 if has_graphs else 1, stack=size)]
    if has_graphs:
        ways.append(Way(name, f"stack of {size} + graph", graphed, 1 if is_first else 5, stack=size))
    return ways


def _alone(lab: Lab, run: Callable[[int], float]) -> Callable[[], float]:
    timer = StepTimer(lab, run, lab.size(FEW_STEPS, 4))
    return lambda: STEPS * timer.seconds_per_step(lab.size(1.5, 0.1))


def _in_processes(
    lab: Lab, network: tuple[str, ...], workers: RateProcesses, count: int
) -> Callable[[], float]:
    """All at the same time: each one's rate by its own record, added up."""
    few = lab.size(FEW_STEPS, 4)
    timer = StepTimer(lab, lambda steps: max(workers.seconds(count, network, steps)), few)

    def seconds() -> float:
        if timer.many is None:
            timer.choose_length(lab.size(1.5, 0.1))
        assert timer.many is not None
        short, long = (workers.seconds(count, network, steps) for steps in (few, timer.many))
        rates = [(timer.many - few) / max(1e-6, b - a) for a, b in zip(short, long, strict=True)]
        return STEPS / sum(rates)

    return seconds


def _compare(lab: Lab, ways: list[Way], rates: Rates, failed: dict[str, str]) -> None:
    """The figures so far, and what the stacks must reach."""
    lab.outcome.figures.clear()
    lab.outcome.checks.clear()
    told = []
    middle = {key: median(values) for key, values in rates.items()}
    for key, value in middle.items():
        lab.figure(key, value, f"networks of {STEPS} steps a second")
    for name in NETWORKS:
        own = {way.key: way for way in ways if way.network == name and way.key in middle}
        stacked = [key for key, way in own.items() if way.stack >= lab.size(LEAST_STACK, 4)]
        one = middle.get(f"{name}: one after the other")
        if not stacked or one is None:
            continue
        best = max(stacked, key=lambda key: middle[key])
        lab.figure(f"{best} over one after the other", middle[best] / one, "×", lab.size(OVER_ONE, None))
        if at_once := [middle[key] for key, way in own.items() if way.processes]:
            over = middle[best] / max(at_once)
            lab.figure(f"{best} over the best processes", over, "×", lab.size(OVER_PROCESSES, None))
        if graphed := middle.get(f"{name}: one after the other + graph"):
            lab.figure(f"{best} over one after the other + graph", middle[best] / graphed, "×")
        told.append(f"{best}: {middle[best]:.3g}/s, {middle[best] / one:.1f} × one after the other")
    for key, error in failed.items():
        lab.check(key, False, error.splitlines()[-1])
    lab.headline("; ".join(told))
