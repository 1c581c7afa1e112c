"""Recorded runs become a phase diagram, and the diagram a figure."""

import math
from typing import Any

import pytest
import torch

from trainlab.analysis.phase_diagram import AT_CHANCE, DIVERGED, LEARNED, PhaseDiagram, PhasePoint
from trainlab.config import compose
from trainlab.errors import RequestError
from trainlab.figures import phase_diagram
from trainlab.forecast import phase_diagram_builder
from trainlab.runs import Result, Verdict
from trainlab.runs.frozen_settings import settings_yaml
from trainlab.runs.result import run_facts
from trainlab.settings import RunSettings
from trainlab.theory import mean_field as mf

MLP = ["model=mlp", "data=digits", "activation=tanh", "width=8", "trainer=cpu"]


def recorded(folder, *overrides, status="finished", learned=True):
    """A run folder as training leaves it, as far as the diagram reads it; nothing is trained."""
    name = "-".join(overrides).replace("=", "").replace(".", "")
    settings = RunSettings.identified(compose([*MLP, *overrides]), name, "0", "official", {})
    path = folder / name
    path.mkdir()
    (path / "config.yaml").write_text(settings_yaml(settings))
    Result(**run_facts(settings), status=status, verdict=Verdict(learned=learned)).write(path)
    return path


@pytest.fixture
def folders(tmp_path):
    return [
        recorded(tmp_path, "init=mean_field", "init.sigma_b2=0.05", f"init.sigma_w2={w}", f"depth={d}",
                 status="diverged" if w == 4 else "finished", learned=d == 2)
        for w in (1, 4) for d in (2, 9)
    ]  # fmt: skip


@pytest.mark.slow
def test_runs_lie_where_their_settings_say(folders):
    drawn = phase_diagram_builder.build_phase_diagram(folders, processes=0)
    assert drawn.scale == "init.sigma_w2"
    assert [(p.scale, p.depth, p.outcome) for p in drawn.points] == [
        (1, 2, LEARNED), (1, 9, AT_CHANCE), (4, 2, DIVERGED), (4, 9, DIVERGED),
    ]  # fmt: skip
    assert drawn.points[0].xi == pytest.approx(mf.depth_scales(torch.tanh, 1.0, 0.05).xi_c)
    assert dict(drawn.curve)[4] == pytest.approx(mf.depth_scales(torch.tanh, 4.0, 0.05).xi_c)
    assert all(p.learns is None for p in drawn.points)


def test_a_gain_becomes_a_variance():
    glorot = compose([*MLP, "init=glorot", "init.gain=1.5", "depth=4"])
    assert phase_diagram_builder.hidden_variances(glorot) == pytest.approx((1.5**2, 0.0))
    kaiming = compose([*MLP, "activation=relu", "init=kaiming", "init.gain=1.0", "depth=4"])
    assert phase_diagram_builder.hidden_variances(kaiming) == pytest.approx((1.0, 0.0))
    assert phase_diagram_builder.run_depth_scale(kaiming) == pytest.approx(1 / math.log(2))
    louder = compose([*MLP, "activation=relu", "init=kaiming", "init.gain=2.0", "depth=4"])
    assert phase_diagram_builder.run_depth_scale(louder) == pytest.approx(1 / math.log(2)), (
        "σw² = 4: χ₁ = 2, and angles never end"
    )


def test_theory_says_nothing_of_norm_layers_and_of_what_it_cannot_know():
    for line in ("norm_layer=batchnorm", "init=orthogonal"):
        assert phase_diagram_builder.run_depth_scale(compose([*MLP, line])) is None


def test_what_makes_no_diagram_is_refused(folders):
    requests: list[tuple[list, dict[str, Any], str]] = [
        (folders[:2], {"scale": "init.sigma_w2"}, "several depths and several"),
        (folders[:2], {}, "no number of the initializer"),
        (folders, {"scale": "activation._target_"}, "expected a number"),
    ]
    for of, arguments, says in requests:
        with pytest.raises(RequestError, match=says):
            phase_diagram_builder.build_phase_diagram(of, processes=0, **arguments)


def test_every_run_is_a_cell_and_the_boundary_runs_between_them():
    places = tuple(
        PhasePoint(scale, depth, seed, LEARNED if depth < 8 else AT_CHANCE, 2.0, 0.9 if depth < 8 else 0.1)
        for scale in (1.0, 2.0, 3.0) for depth in (2, 4, 8, 16) for seed in (0, 1)
    )  # fmt: skip
    drawn = PhaseDiagram("init.sigma_w2", places, ((1.0, 2.0), (3.0, 2.0)))
    x, y = phase_diagram.edges((1.0, 2.0, 3.0), False), phase_diagram.edges((2, 4, 8, 16), True)
    assert x == pytest.approx([0.5, 1.5, 2.5, 3.5])
    assert y[2] == pytest.approx(math.sqrt(4 * 8))
    cells = phase_diagram.cells(drawn, x, y, False)
    assert len(cells) == len(places)
    area = sum((cell["x2"] - cell["x"]) * (math.log(cell["y2"] / cell["y"])) for cell in cells)
    assert area == pytest.approx(3.0 * math.log(y[-1] / y[0]))
    (line,) = phase_diagram.boundary(drawn, x, y)
    assert sorted(a for a, _ in line) == pytest.approx(x) and {b for _, b in line} == {y[2]}
    pytest.importorskip("altair")
    from trainlab.figures.style import to_svg

    text = to_svg(phase_diagram.phase_diagram_plot(drawn, "Title", "subtitle"))
    for part in ("Title", "σw²", "at chance", "right about 75%", "preflight", "100%"):
        assert part in text


@pytest.mark.slow
def test_the_forecast_of_a_run_is_asked_in_a_process_of_its_own(folders):
    drawn = phase_diagram_builder.build_phase_diagram(folders, processes=2)
    assert all(0 <= p.learns <= 1 for p in drawn.points)
