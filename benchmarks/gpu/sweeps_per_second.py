"""Whole sweeps, from the command to the table: start, training, validation, test, checkpoint, record."""

import contextlib
import io
import time
from pathlib import Path

from benchmarks.gpu.lab import LENET, PLAIN_CNN, Lab, tail
from trainlab.sweeps.forkserver import ForkServer

RESERVE_SECONDS = 20.0
OVER_ONE, OVER_PROCESSES = 10.0, 3.0
STEPS = {"LeNet-5": 1000, "plain_cnn": 500}
NETWORKS = {"LeNet-5": LENET, "plain_cnn": PLAIN_CNN}


def sweeps_per_second(lab: Lab) -> None:
    """One fork server for all sweeps, as a long sweep has it: its start is told, and is in no figure.

    Seconds per network count from the first run's process to the last record, so that what a command costs
    once is not shared out over few networks in one way and over many in another.
    """
    began = time.perf_counter()
    server = ForkServer()
    server.call(time.time)
    lab.tell(fork_server_seconds=time.perf_counter() - began)
    ForkServer.close = lambda self: None  # type: ignore[method-assign]  # it stays for the next sweep
    lab.wait_until_alone()
    seconds: dict[str, dict[str, float]] = {name: {} for name in NETWORKS}
    ways = _ways(lab)
    first, later = list(ways)[:3], list(ways)[3:]
    for name, way in [(n, w) for some in (first, later) for n in NETWORKS for w in some]:
        if lab.seconds_left < lab.size(RESERVE_SECONDS, 1):
            lab.tell(**{f"{name}: {way}": "no time"})
            continue
        words, runs = ways[way]
        seconds[name][way] = _sweep(lab, name, way, (*NETWORKS[name], *words), runs)
        _compare(lab, seconds)


def _ways(lab: Lab) -> dict[str, tuple[tuple[str, ...], int]]:
    """Name → overrides, and how many networks; the most telling first."""
    off, many = (*lab.without_stacks(), *lab.graph("off")), lab.size((3, 8, 32, 128), (2, 2, 2, 4))
    at_once = lab.size("hydra.launcher.runs_per_gpu", "hydra.launcher.slots")
    ways: dict[str, tuple[tuple[str, ...], int]] = {
        "one after the other": ((*off, f"{at_once}=1"), many[0]),
        f"{many[1]} processes": ((*off, f"{at_once}={many[1]}"), many[1]),
    }
    stacked = bool(lab.without_stacks())
    for size in many[2:] if stacked else ():
        ways[f"stack of {size}"] = ((f"sweep.stack={size}",), size)
    if lab.on_gpu:
        ways["4 processes"] = ((*off, f"{at_once}=4"), 8)
        if lab.has_trainer_setting("cuda_graph"):
            ways["one after the other + graph"] = (
                (*lab.without_stacks(), *lab.graph("on"), f"{at_once}=1"),
                many[0],
            )
        if stacked:
            ways["stack of 8"] = (("sweep.stack=8",), 8)
    return ways


def _sweep(lab: Lab, name: str, way: str, words: tuple[str, ...], runs: int) -> float:
    """Seconds per network of this sweep; its whole time is told beside it."""
    from trainlab import cli

    folder = "-".join(f"{name} {way}".split())
    steps = lab.size(STEPS[name], 8)
    size = (f"trainer.max_steps={steps}", "signals=false", f"seed=range({runs})")
    small = lab.size((), ("data.val_size=500", "data.test_size=500"))
    out = io.StringIO()
    began, code = time.time(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            cli.main(["train", "-m", *lab.overrides(*words, *size, *small, runs=folder)])
        except SystemExit as end:
            code = end.code
    whole = time.time() - began
    results = lab.results(folder)
    done = code == 0 and len(results) == runs
    lab.check(f"{name}: {way}", done, f"exit code {code}, {len(results)} of {runs} records")
    if not done:
        lab.tell(**{f"output of {name}: {way}": tail(out.getvalue())})
        return float("inf")
    per_network = _span(lab.folder / folder, began) / runs
    lab.tell(**{f"whole command, {name}: {way}": {"seconds": whole, "networks": runs}})
    return per_network


def _span(runs: Path, began: float) -> float:
    """From the birth of the first run's process to the last record, by the times of their files."""
    born = [path.stat().st_mtime for path in runs.glob("*/.pid")]
    recorded = [path.stat().st_mtime for path in runs.glob("*/result.json")]
    return max(recorded) - min(born, default=began)


def _compare(lab: Lab, seconds: dict[str, dict[str, float]]) -> None:
    """The figures so far, and what the stacks must reach."""
    lab.outcome.figures.clear()
    told = []
    for name, ways in seconds.items():
        for way, value in ways.items():
            lab.figure(f"{name}: {way}", value, f"s a network of {lab.size(STEPS[name], 8)} steps")
        finite = {way: value for way, value in ways.items() if value < float("inf")}
        stacked = {
            way: v for way, v in finite.items() if way in ("stack of 32", "stack of 128", "stack of 4")
        }
        one = finite.get("one after the other")
        if one is None or not stacked:
            told.append(f"{name} {one or 0:.2f} s a network one after the other")
            continue
        way = min(stacked, key=lambda way: stacked[way])
        lab.figure(
            f"{name}: {way} over one after the other", one / stacked[way], "×", lab.size(OVER_ONE, None)
        )
        if best := min((v for way, v in finite.items() if way.endswith("processes")), default=None):
            over = best / stacked[way]
            lab.figure(
                f"{name}: {way} over the best number of processes", over, "×", lab.size(OVER_PROCESSES, None)
            )
        told.append(f"{name} {stacked[way]:.2f} s a network in a {way}, {one:.2f} s one after the other")
    lab.headline("; ".join(told))
