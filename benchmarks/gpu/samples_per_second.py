"""One run against loops by hand, and against what people write today."""

from collections.abc import Callable
from statistics import median

from benchmarks.gpu.lab import NETWORKS, Lab
from benchmarks.gpu.step_time import BATCH_SIZE, FEW_STEPS, StepTimer, single_runs

OVER_USUAL = 5.0
"""One run with images on the card and a graph has so many times the rate of DataLoader + Lightning."""
RESERVE_SECONDS = 6.0


def samples_per_second(lab: Lab) -> None:
    """Contenders take turns in one process, each warm before it is timed."""
    from benchmarks.hand_loop import lenet5, plain_cnn

    written_out = {"LeNet-5": lenet5, "plain_cnn": plain_cnn}
    for network in NETWORKS.values():
        single_runs(lab, network)(2)
    lab.wait_until_alone()
    rounds: dict[str, dict[str, list[float]]] = {name: {} for name in NETWORKS}
    contenders = {name: _contenders(lab, name, written_out[name]) for name in NETWORKS}
    for number in range(lab.size(3, 1)):
        for name, ways in contenders.items():
            for way in list(ways)[:: 1 if number % 2 == 0 else -1]:
                if lab.seconds_left > RESERVE_SECONDS:
                    rounds[name].setdefault(way, []).append(ways[way]())
                    lab.tell(samples_per_second=rounds)
                    _compare(lab, rounds)


def _compare(lab: Lab, rounds: dict[str, dict[str, list[float]]]) -> None:
    """The figures so far, and what the platform must reach."""
    lab.outcome.figures.clear()
    told = []
    for name, ways in rounds.items():
        middle = {way: median(values) for way, values in ways.items()}
        for way, value in middle.items():
            lab.figure(f"{name}: {way}", value, "samples/s")
        best = middle.get("platform + graph") or middle.get("platform")
        if best is None:
            continue
        for way, at_least in (
            (USUAL, lab.size(OVER_USUAL, None)),
            ("by hand", None),
            ("by hand + graph", None),
        ):
            if way in middle:
                lab.figure(f"{name}: one run over {way}", best / middle[way], "×", at_least)
        told.append(
            f"{name} {best:,.0f}" + (f" ({best / middle[USUAL]:.1f} × usual)" if USUAL in middle else "")
        )
    lab.headline(f"samples/s of one run: {'; '.join(told)}")


USUAL = "DataLoader + Lightning"


def _contenders(lab: Lab, name: str, network: Callable[[], object]) -> dict[str, Callable[[], float]]:
    from benchmarks.gpu.by_hand import HandLoop
    from benchmarks.gpu.usual_loader import samples_per_second as usual
    from trainlab.build.data import load_data

    images = load_data(lab.settings(*NETWORKS[name]))
    steps = lab.size(2000, 8)
    ways: dict[str, Callable[[], float]] = {}
    has_graphs = lab.on_gpu and lab.has_trainer_setting("cuda_graph")
    graphs = {" + graph": lab.graph("on"), "": lab.graph("off")} if has_graphs else {"": ()}
    for said, graph in graphs.items():
        ways[f"platform{said}"] = _platform(lab, NETWORKS[name], graph)
    for said, is_graph in (("", False), (" + graph", True)) if lab.on_gpu else (("", False),):
        ways[f"by hand{said}"] = _hand(HandLoop, network, images, lab, is_graph, steps)
    accelerator, count = lab.size("gpu", "cpu"), lab.size(12_800, 256)
    ways[USUAL] = lambda: usual(network, images, count, accelerator, lab.folder)  # type: ignore[arg-type]
    return ways


def _platform(lab: Lab, network: tuple[str, ...], graph: tuple[str, ...]) -> Callable[[], float]:
    timer = StepTimer(lab, single_runs(lab, network, *graph), lab.size(FEW_STEPS, 4))
    return lambda: BATCH_SIZE / timer.seconds_per_step(lab.size(1.5, 0.1))


def _hand(
    make: Callable[..., object], network: object, images: object, lab: Lab, is_graph: bool, steps: int
) -> Callable[[], float]:
    made: list[object] = []

    def rate() -> float:
        if not made:
            made.append(make(network, images, lab.torch_device, is_graph))
            made[0].run(steps // 4)  # type: ignore[attr-defined]
        return made[0].run(steps)  # type: ignore[attr-defined]

    return rate
