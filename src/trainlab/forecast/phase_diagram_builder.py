"""From runs to a phase diagram: where each lies, what theory predicts there, and its forecast."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from trainlab.analysis import phase_diagram
from trainlab.analysis.phase_diagram import PhaseDiagram, PhasePoint
from trainlab.build import networks
from trainlab.errors import RequestError
from trainlab.forecast.logistic_model import decision_threshold
from trainlab.forecast.run_forecast import RunForecast, forecast_runs
from trainlab.instantiate import instantiate
from trainlab.instantiate.parts import ACTIVATION, INIT
from trainlab.nn.initializers import MeanField, Normal, VarianceScaling, negative_slopes
from trainlab.nn.layers import fans, weight_layers
from trainlab.runs import RunFolder
from trainlab.runs.identity import flatten
from trainlab.settings import Settings
from trainlab.theory import mean_field

CURVE_POINTS = 60
"""Of the theory's curve, between the least and the largest scale."""


def build_phase_diagram(
    folders: Iterable[Path],
    scale: str | None = None,
    processes: int = 2,
    paths: Mapping[str, str] | None = None,
    on_done: Callable[[str, RunForecast | None], object] | None = None,
    learns: Mapping[str, float] | None = None,
) -> PhaseDiagram:
    """The diagram of runs that differ in one number (`init.sigma_w2`, `init.gain`, …), in depth and in seed.

    `scale` None takes the one setting of the initializer that differs. With `processes` 0 nothing
    is forecast, which takes seconds a run; nor where `learns` has earlier probabilities, by run id.

    Raises RequestError where there is no such number, or depth is the same in all runs.
    """
    outcomes = _outcomes(folders)
    settings = {folder: RunFolder(folder).settings() for folder in outcomes}
    scale = scale or _swept_scale(list(settings.values()))
    values = {folder: _number_at(run_settings, scale) for folder, run_settings in settings.items()}
    if without := [one.axes["model"] for one in settings.values() if one.depth is None]:
        raise RequestError(f"phase diagram: model={without[0]} has no depth, expected one in every run")
    if len({one.depth for one in settings.values()}) < 2 or len(set(values.values())) < 2:
        raise RequestError(f"phase diagram: expected runs of several depths and several {scale}")
    if learns is None:
        forecasts = forecast_runs(settings, processes, paths, on_done) if processes else {}
        learns = {run_id: forecast.learns for run_id, forecast in forecasts.items()}
    with _one_thread():
        run_with = {values[folder]: run_settings for folder, run_settings in settings.items()}
        xi = {value: run_depth_scale(run_settings) for value, run_settings in run_with.items()}
        curve = _curve(next(iter(settings.values())), scale, sorted(xi))
    points = [
        PhasePoint(
            float(values[folder]), run_settings.depth or 0, run_settings.seed, outcomes[folder],
            xi[values[folder]], learns.get(folder.name),
        )
        for folder, run_settings in settings.items()
    ]  # fmt: skip
    return PhaseDiagram(scale, tuple(points), tuple(curve), decision_threshold())


def _outcomes(folders: Iterable[Path]) -> dict[Path, str]:
    """What became of each run of which it is known."""
    results = {folder: RunFolder(folder).result() for folder in folders}
    outcomes = {
        folder: phase_diagram.run_outcome(result.status, result.verdict.learned)
        for folder, result in results.items()
        if result is not None
    }
    return {folder: outcome for folder, outcome in outcomes.items() if outcome is not None}


def _number_at(settings: Settings, name: str) -> float:
    value = flatten(settings.to_plain()).get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise RequestError(f"phase diagram: {name}={value}, expected a number in every run")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Quadrature is thousands of small operations: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run_depth_scale(settings: Settings) -> float | None:
    """ξ of a hidden layer of these settings, in layers: how deep a signal or a gradient gets.

    ξ_c, over which inputs become alike (or unlike); where they never do (ReLU above its critical scale, whose
    angles do not depend on the scale), 1/|ln χ₁|, over which the gradient grows by e. None with a norm layer,
    and for an initializer whose variance is not known beforehand.
    """
    variances = hidden_variances(settings)
    if variances is None:
        return None
    phi = instantiate(settings.activation, ACTIVATION)()
    xi = mean_field.depth_scales(phi, *variances).xi_c
    if not math.isfinite(xi):
        slope = mean_field.chi1(phi, *variances)
        xi = 1 / abs(math.log(slope)) if 0 < slope != 1 else math.inf
    return xi


def hidden_variances(settings: Settings) -> tuple[float, float] | None:
    """(σw², σb²) of the middle hidden layer: fan-in times the variance of its weights, that of its biases."""
    if settings.norm_layer.layer is not None:
        return None
    initializer = instantiate(settings.init, INIT)
    if isinstance(initializer, MeanField):
        return initializer.sigma_w2, initializer.sigma_b2
    with torch.device("meta"):
        # hidden layers are the same whatever the number of classes
        classes = settings.data.num_classes or 2
        network = networks.build_network(settings, networks.input_shape_CHW(settings), classes)
    layers = weight_layers(network)[:-1] or weight_layers(network)
    name, layer = layers[len(layers) // 2]
    std = _std(initializer, layer, negative_slopes(network)[name])
    return None if std is None else (fans(layer)[0] * std**2, 0.0)


def _std(initializer: object, layer: nn.Module, negative_slope: float) -> float | None:
    if isinstance(initializer, VarianceScaling):
        return initializer.std(layer, negative_slope)
    return initializer.std if isinstance(initializer, Normal) else None


def _curve(settings: Settings, scale: str, values: Sequence[float]) -> list[tuple[float, float]]:
    """(scale, ξ) at these values and evenly between them, to half a step beyond the outermost."""
    least = max(1.5 * values[0] - 0.5 * values[1], 0.0)
    most = 1.5 * values[-1] - 0.5 * values[-2]
    between = [least + (most - least) * i / CURVE_POINTS for i in range(CURVE_POINTS + 1)]
    found = []
    for value in sorted({*between, *values}):
        xi = run_depth_scale(settings.with_value(scale, value))
        if xi is not None:
            found.append((value, xi))
    return found


def _swept_scale(settings: Sequence[Settings]) -> str:
    """The one setting of the initializer that differs. Raises RequestError for none or several."""
    flats = [flatten(run_settings.to_plain()) for run_settings in settings]
    names = sorted(name for name in set().union(*flats) if name.startswith("init."))
    differ = [name for name in names if len({flat.get(name) for flat in flats}) > 1]
    if len(differ) != 1:
        raise RequestError(
            f"phase diagram: the runs differ in {', '.join(differ) or 'no number of the initializer'}; "
            "say which is the scale, as in --scale init.sigma_w2"
        )
    return differ[0]
