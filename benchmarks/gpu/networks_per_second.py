"""How many networks are trained in a second, by the clock of their steps alone."""

import time
from collections.abc import Callable
from statistics import median

from benchmarks.gpu.lab import NETWORKS, Lab
from benchmarks.gpu.rate_process import RateProcesses
from benchmarks.gpu.step_time import BATCH_SIZE, FEW_STEPS, StepTimer, single_runs, stacks

STEPS = 1000
"""Of a network: what its seconds are counted for."""
OVER_ONE, OVER_PROCESSES = 10.0, 3.0
"""What stacks of 32 and more must reach, over one after the other and over the best number of processes."""
RESERVE_SECONDS = 8.0

Rates = dict[str, dict[str, list[float]]]
"""Networks per second of each round, by network and way of training."""


def networks_per_second(lab: Lab) -> None:
    """Ways of training take turns, both networks in each round, as many rounds as there is time for."""
    processes, sizes = lab.size((4, 8), (1, 2)), lab.size((8, 32, 128), (2, 4))
    with RateProcesses(lab, max(processes)) as workers:
        for network in NETWORKS.values():  # while others run: every process starts the device
            workers.seconds(max(processes), network, 2)
            single_runs(lab, network)(2)
        lab.wait_until_alone()
        rates: Rates = {}
        ways = [
            (name, way, seconds_per_network)
            for name, network in NETWORKS.items()
            for way, seconds_per_network in _ways(lab, network, workers, processes, sizes).items()
        ]
        failed: dict[str, str] = {}
        for number in range(lab.size(9, 1)):
            for name, way, seconds_per_network in ways if number % 2 == 0 else ways[::-1]:
                key = f"{name}: {way}"
                if key in failed or lab.seconds_left < RESERVE_SECONDS:
                    continue
                began = time.perf_counter()
                try:
                    value = 1 / seconds_per_network()
                    rates.setdefault(name, {}).setdefault(way, []).append(value)
                except Exception as error:  # one way that fails leaves the others
                    failed[key] = f"{type(error).__name__}: {error}"[-800:]
                _compare(lab, rates, failed)
                lab.tell(
                    networks_per_second=rates,
                    failed=failed,
                    **{f"seconds of {key}": time.perf_counter() - began},
                )
            if lab.seconds_left < lab.size(40, 1):
                break


def _ways(
    lab: Lab,
    network: tuple[str, ...],
    workers: RateProcesses,
    processes: tuple[int, ...],
    sizes: tuple[int, ...],
) -> dict[str, Callable[[], float]]:
    """Name → what gives the seconds of one network of `STEPS` steps, measured now."""
    has_graphs = lab.on_gpu and lab.has_trainer_setting("cuda_graph")
    graphs = {"": lab.graph("off"), " + graph": lab.graph("on")} if has_graphs else {"": ()}
    ways: dict[str, Callable[[], float]] = {}
    for said, graph in graphs.items():
        ways[f"one after the other{said}"] = _timed(lab, single_runs(lab, network, *graph), 1)
    for count in processes:
        ways[f"{count} processes"] = _in_processes(lab, network, workers, count)
    for size in sizes:
        for said, graph in graphs.items():
            ways[f"stack of {size}{said}"] = _stacked(lab, network, size, graph)
    return ways


def _timed(lab: Lab, do: Callable[[int], object], networks: int) -> Callable[[], float]:
    timer = StepTimer(lab, do, lab.size(FEW_STEPS, 4))

    def seconds() -> float:
        if timer.many is None:
            timer.warm_up(lab.size(1.5, 0.1))
        return STEPS * timer.seconds_per_step() / networks

    return seconds


def _stacked(lab: Lab, network: tuple[str, ...], size: int, graph: tuple[str, ...]) -> Callable[[], float]:
    made: list[Callable[[], float]] = []

    def seconds() -> float:
        if not made:
            made.append(_timed(lab, stacks(lab, network, size, *graph), size))
        return made[0]()

    return seconds


def _in_processes(
    lab: Lab, network: tuple[str, ...], workers: RateProcesses, count: int
) -> Callable[[], float]:
    """All at the same time: each one's rate by its own clock, added up."""
    few, many = lab.size((FEW_STEPS, 600), (4, 12))

    def seconds() -> float:
        short = workers.seconds(count, network, few)
        long = workers.seconds(count, network, many)
        steps = [(many - few) / max(1e-6, b - a) for a, b in zip(short, long, strict=True)]
        return STEPS / sum(steps)

    return seconds


def _compare(lab: Lab, rates: Rates, failed: dict[str, str]) -> None:
    """The figures so far, and what the stacks must reach."""
    lab.outcome.figures.clear()
    lab.outcome.checks.clear()
    told = []
    for name, ways in rates.items():
        middle = {way: median(values) for way, values in ways.items()}
        for way, value in middle.items():
            lab.figure(f"{name}: {way}", value, f"networks of {STEPS} steps a second")
        one = middle.get("one after the other")
        best = max((v for way, v in middle.items() if way.endswith(" processes")), default=None)
        stacked = {way: v for way, v in middle.items() if _is_large_stack(way)}
        if not stacked or one is None:
            told.append(f"{name}: {(one or 0) * STEPS * BATCH_SIZE:,.0f} samples/s one after the other")
            continue
        way = max(stacked, key=lambda way: stacked[way])
        lab.figure(
            f"{name}: {way} over one after the other", stacked[way] / one, "×", lab.size(OVER_ONE, None)
        )
        if best:
            over = stacked[way] / best
            lab.figure(
                f"{name}: {way} over the best number of processes", over, "×", lab.size(OVER_PROCESSES, None)
            )
        if graphed := middle.get("one after the other + graph"):
            lab.figure(f"{name}: {way} over one after the other + graph", stacked[way] / graphed, "×")
        told.append(f"{name}: {way} {stacked[way] / one:.1f} × one after the other")
    for key, error in failed.items():
        if "No module named 'trainlab.training.stack'" not in error:
            lab.check(key, False, error.splitlines()[-1])
    lab.headline("; ".join(told))


def _is_large_stack(way: str) -> bool:
    words = way.split()
    return (words[:2] == ["stack", "of"] and int(words[2]) >= 32) or (words[0] == "stack" and words[2] == "4")
