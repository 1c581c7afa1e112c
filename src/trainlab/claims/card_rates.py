"""How fast a card trains: what `make gpu-check` measured on it, and from that the time of other networks.

Two networks are measured, alone and in stacks. From them to another network there are two bounds, and the
longer one counts:

- its work at the rate of the measured network that is nearest in multiply-adds an image. Work is
  images × multiply-adds × runs of a step. Between two measured stacks the time is on the straight line of
  logarithms; below the least work it is that of the least, above the most it grows as the work does;
- its layers, each as long as a layer of one run of that network: what small networks wait for is launches.

An estimate, and no more: wide layers use a card better than those that were measured.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from trainlab.claims.training_work import NetworkSize, TrainingWork
from trainlab.errors import RequestError
from trainlab.runs import json_nonfinite
from trainlab.runs.safe_files import read_bounded

SCHEMA = 1
MEASURED_NETWORKS = {
    "LeNet-5": ("model=lenet5", "data=mnist"),
    "plain_cnn": ("model=plain_cnn", "depth=4", "width=16", "data=cifar10"),
}
"""The networks of the file, as `benchmarks.gpu.lab` has them."""
STEPS_OF_NETWORK, BATCH_SIZE = 1000, 128
"""What the file counts as one network, and the images of each step."""
_WAY = re.compile(r"(?:one after the other|stack of (\d+))( \+ graph)?")
_WHOLE_RUN = re.compile(r"s a network of (\d+) steps")
_PRODUCT = "matrix product, in the precision of training"
_EXPECTED = "expected a file that `make gpu-check` wrote (benchmarks/results/gpu/CARD.json)"

StepSeconds = dict[int, float]
"""Seconds of one step of a whole stack, by the number of its runs; 1: a run alone."""


@dataclass(frozen=True)
class CardRates:
    """The rates of a card: by network seconds of a step, and what a run takes beside its steps.

    `start_seconds` is by the size of a stack, a run; empty where whole sweeps were not measured.
    `product_flops`: of a large matrix product a second, in the precision of training; None if not measured.
    """

    card: str
    path: Path
    steps: Mapping[str, StepSeconds]
    start_seconds: Mapping[int, float]
    product_flops: float | None = None


def read_rates(path: Path) -> CardRates:
    """The rates of a file of the proof kit. Raises RequestError, in one line, for any other file."""
    try:
        content = json_nonfinite.loads(read_bounded(path))
    except OSError as error:
        raise RequestError(f"rates {path}: {error.strerror or error}; {_EXPECTED}") from None
    except (ValueError, RecursionError):
        raise RequestError(f"rates {path}: it is no JSON; {_EXPECTED}") from None
    record = _mapping(content)
    if record.get("schema") != SCHEMA or not isinstance(record.get("items"), list):
        raise RequestError(f"rates {path}: no record of schema {SCHEMA}; {_EXPECTED}")
    if record.get("device") != "gpu":
        raise RequestError(f"rates {path}: device={record.get('device')}, a dry run; {_EXPECTED}")
    items = {str(_mapping(item).get("name")): _mapping(item) for item in _list(record["items"])}
    measured = _mapping(_details(items, "networks/s").get("networks_per_second"))
    by_way = {name: _seconds_by_way(_of_network(measured, name)) for name in MEASURED_NETWORKS}
    steps = {name: _default_way(ways) for name, ways in by_way.items() if _default_way(ways)}
    if not steps:
        names = ", ".join(MEASURED_NETWORKS)
        raise RequestError(f"rates {path}: no networks per second of {names} in it; {_EXPECTED}")
    card = _details(items, "card").get("name")
    starts = _start_seconds(_list(items.get("sweeps", {}).get("figures")), by_way)
    return CardRates(str(card) if card else path.stem, path, steps, starts, _product_flops(items))


def _product_flops(items: Mapping[str, Mapping[str, object]]) -> float | None:
    figures = map(_mapping, _list(items.get("step and memory", {}).get("figures")))
    found = [_positive([figure.get("value")]) for figure in figures if figure.get("name") == _PRODUCT]
    return 1e12 * found[0][0] if found and found[0] else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _details(items: Mapping[str, Mapping[str, object]], name: str) -> Mapping[str, object]:
    return _mapping(items.get(name, {}).get("details"))


def _positive(values: object) -> list[float]:
    numbers = [float(v) for v in _list(values) if isinstance(v, int | float) and not isinstance(v, bool)]
    return [number for number in numbers if number > 0 and math.isfinite(number)]


def _of_network(measured: Mapping[str, object], network: str) -> Mapping[str, object]:
    """Rates by way, of one network: {way: rounds} below its name, or under "network: way"."""
    prefix = f"{network}: "
    named = {key.removeprefix(prefix): rounds for key, rounds in measured.items() if key.startswith(prefix)}
    return _mapping(measured.get(network)) or named


def _seconds_by_way(rates: Mapping[str, object]) -> dict[tuple[int, bool], float]:
    """Seconds of a step of (a stack of so many, as a CUDA graph): the middle of its rounds."""
    found = {}
    for way, values in rates.items():
        if (match := _WAY.fullmatch(way)) and (rounds := _positive(values)):
            size = int(match[1] or 1)
            if size >= 1:
                found[size, bool(match[2])] = size / (median(rounds) * STEPS_OF_NETWORK)
    return found


def _default_way(ways: Mapping[tuple[int, bool], float]) -> StepSeconds:
    """As runs are trained that say nothing of it: with a graph, where that was measured."""
    return {size: ways.get((size, True), ways.get((size, False), 0.0)) for size, _ in sorted(ways)}


def _start_seconds(
    figures: Sequence[object], by_way: Mapping[str, Mapping[tuple[int, bool], float]]
) -> dict[int, float]:
    """What a run of a whole sweep took beside its steps, by the size of its stack; of both networks."""
    found: dict[int, list[float]] = {}
    for figure in map(_mapping, figures):
        name, _, way = str(figure.get("name")).partition(": ")
        match, unit = _WAY.fullmatch(way), _WHOLE_RUN.fullmatch(str(figure.get("unit")))
        value = _positive([figure.get("value")])
        if match is None or unit is None or not value or name not in by_way:
            continue
        size = int(match[1] or 1)
        ways = by_way[name]
        # single runs say whether they had a graph; stacks have one where they can
        step = ways.get((size, bool(match[2]))) if size == 1 else _default_way(ways).get(size)
        if step is not None:
            found.setdefault(size, []).append(max(0.0, value[0] - int(unit[1]) * step / size))
    return {size: fmean(values) for size, values in sorted(found.items())}


class CardTimes:
    """Times of tasks on the card of these rates. `sizes`: the measured networks, by name."""

    def __init__(self, rates: CardRates, sizes: Mapping[str, NetworkSize]) -> None:
        self._rates, self._sizes = rates, sizes

    def seconds(self, work: TrainingWork, runs: int) -> float:
        """Of a run (1), or of a stack of so many runs with this work each, from start to record."""
        return work.steps * self.step_seconds(work, runs) + runs * self._start(runs)

    def step_seconds(self, work: TrainingWork, runs: int) -> float:
        """Of one step of all its runs."""
        name = min(self._rates.steps, key=lambda name: self._distance(name, work))
        size, seconds = self._sizes[name], self._rates.steps[name]
        unit = BATCH_SIZE * size.multiply_adds
        points = {unit * count: value for count, value in seconds.items()}
        by_work = _interpolated(points, max(1, work.multiply_adds_per_step * runs))
        by_layers = work.network.layers * seconds[min(seconds)] / size.layers
        return max(by_work, by_layers)

    def _distance(self, name: str, work: TrainingWork) -> float:
        return abs(math.log(self._sizes[name].multiply_adds / max(1, work.network.multiply_adds)))

    def _start(self, runs: int) -> float:
        starts = self._rates.start_seconds
        if not starts:
            return 0.0
        inside = min(max(runs, min(starts)), max(starts))
        return _interpolated({size: max(value, 1e-9) for size, value in starts.items()}, inside)


def _interpolated(points: Mapping[int, float], at: float) -> float:
    """On straight lines of logarithms; constant below the first point, in proportion above the last."""
    places = sorted(points)
    if at <= places[0]:
        return points[places[0]]
    if at >= places[-1]:
        return points[places[-1]] * at / places[-1]
    right = next(place for place in places if place >= at)
    left = max(place for place in places if place < right)
    share = math.log(at / left) / math.log(right / left)
    return math.exp((1 - share) * math.log(points[left]) + share * math.log(points[right]))
