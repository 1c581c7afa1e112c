"""A sweep as a saved view of a W&B workspace: its runs, grouped by the settings that differ among them.

Built from the records on disk. Panels only ask for keys that the runs have logged."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from trainlab.analysis.varying_settings import varying_settings
from trainlab.errors import RequestError
from trainlab.runs import read_metrics, read_runs, read_signals
from trainlab.runs.frozen_settings import read_settings
from trainlab.runs.groups import read_group
from trainlab.signals.catalogue import LAYER_QUANTITIES, NETWORK
from trainlab.wandb_sync.offline_runs import find_offline_runs

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import BarPlot, LinePlot, ParallelCoordinatesPlot, ScalarChart
    from wandb_workspaces.workspaces import Section, Workspace

PROJECT = "trainlab"

STEP = "trainer/global_step"
"""The training step of every row; W&B's own `Step` counts calls of `log`."""

CURVES = {
    "train/loss": "Training loss",
    "val/loss": "Validation loss",
    "train/acc": "Training accuracy",
    "val/acc": "Validation accuracy",
}
FINAL_METRICS = {"test/acc": "Test accuracy", "test/loss": "Test loss"}
LAYER_CHARTS = {
    "preactivation_grad_norm": "Gradient, layer by layer",
    "preactivation_std": "Signal, layer by layer",
    "saturated": "Saturated units, layer by layer",
    "dead": "Dead units, layer by layer",
    "correlation": "Likeness of different images, layer by layer",
    "update_ratio": "Movement of the weights, layer by layer",
}
"""The quantities of a layer that have charts, first those that show a vanishing signal."""
_LOGARITHMIC = ("preactivation_grad_norm", "preactivation_std", "update_ratio")
_MAX_GROUPS = 50


@dataclass(frozen=True)
class SweepSummary:
    """What a view shows of a sweep.

    `axes` are the settings that differ, by their name in a run's W&B config; `layers` maps a quantity to the
    layers that have it; `from_other_sweeps` are the W&B ids of its runs that another sweep ran first.
    """

    name: str
    project: str
    entity: str
    axes: tuple[str, ...]
    metrics: tuple[str, ...]
    layers: dict[str, tuple[str, ...]]
    from_other_sweeps: tuple[str, ...]


def summarize_sweep(root: Path, name: str) -> SweepSummary:
    """A sweep, from the records of its runs.

    Raises:
        RequestError: no such sweep, or none of its runs has begun.
    """
    run_ids = read_group(root, name)
    frame = read_runs(root, [name], settings=True).frame
    if frame.is_empty():
        raise RequestError(f"none of the {len(run_ids)} runs of the sweep '{name}' has begun")
    settings = read_settings(root / frame["run_id"][0])
    logger = settings.get("logger") or {}
    folders = [root / run_id for run_id in _one_of_each_network(frame)]
    logged = {key for folder in folders for key in read_metrics(folder)["name"].unique()}
    return SweepSummary(
        name=name,
        project=logger.get("project") or PROJECT,
        entity=logger.get("entity") or "",
        axes=tuple(_wandb_config_key(column, settings) for column in varying_settings(frame)),
        metrics=tuple(key for key in (*CURVES, *FINAL_METRICS) if key in logged),
        layers=_charted_layers(folders),
        from_other_sweeps=_tracked_in_other_groups(root, frame, name),
    )


def _one_of_each_network(frame: pl.DataFrame) -> list[str]:
    """A run of each network in the sweep, a finished one where there is one."""
    network = [axis for axis in ("model", "depth", "norm_layer") if axis in frame.columns]
    ended = frame.sort(pl.col("status") != "finished", maintain_order=True)
    return ended.unique(network, keep="first", maintain_order=True)["run_id"].to_list()


def _wandb_config_key(column: str, settings: Mapping[str, Mapping[str, object]]) -> str:
    """The name of a column of the table of runs in the config on W&B."""
    if column in settings["axes"]:
        return f"axes.{column}"
    return "copy" if column == "data_copy" else column


def _charted_layers(folders: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """The layers that have each of the charted quantities, from the input to the output."""
    found: dict[str, dict[str, None]] = {}
    for folder in folders:
        rows = read_signals(folder).filter(pl.col("layer") != NETWORK).select("layer", "quantity")
        for layer, quantity in rows.unique(maintain_order=True).iter_rows():
            found.setdefault(quantity, {})[layer] = None
    return {quantity: tuple(found[quantity]) for quantity in LAYER_CHARTS if quantity in found}


def _tracked_in_other_groups(root: Path, frame: pl.DataFrame, name: str) -> tuple[str, ...]:
    """The W&B ids of runs that another sweep ran first: on W&B they are in its group."""
    others = frame.filter(pl.col("group").ne_missing(name))["run_id"].to_list()
    offline = {run.run_id: run.wandb_ids for run in find_offline_runs(root / run_id for run_id in others)}
    return tuple(wandb_id for run_id in others for wandb_id in offline.get(run_id, (run_id,)))


def build_workspace(sweep: SweepSummary, entity: str, project: str) -> "Workspace":
    """The saved view: curves, final metrics, and a section of charts for each quantity of the layers."""
    import wandb_workspaces.workspaces as ws

    # as text: the library's own expressions do not escape a quotation mark in a name
    is_of_sweep = f'Metric("Group") == {json.dumps(sweep.name)}'
    if sweep.from_other_sweeps:
        is_of_sweep += f' or Metric("ID") in {json.dumps(sweep.from_other_sweeps)}'
    view = ws.Workspace(
        entity=entity,
        project=project,
        name=sweep.name,
        sections=list(_sections(sweep)),
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=_MAX_GROUPS),
        runset_settings=ws.RunsetSettings(
            filters=is_of_sweep,
            groupby=[ws.Config(axis) for axis in sweep.axes],
            pinned_columns=[_column(axis) for axis in sweep.axes]
            + [f"summary:{key}" for key in FINAL_METRICS if key in sweep.metrics],
        ),
    )
    # the library names panels at random (its private fields): the same sweep has to give the same view
    view._internal_runset_id = _stable_id(sweep.name, "runs")
    for section in view.sections:
        for number, panel in enumerate(section.panels):
            panel._id = _stable_id(sweep.name, section.name, number)  # pyrefly: ignore[missing-attribute]
    return view


def _column(axis: str) -> str:
    """The id of a setting's column in the table of runs on W&B: `config:optimizer.value.lr`."""
    first, _, rest = axis.partition(".")
    return f"config:{first}.value" + (f".{rest}" if rest else "")


def _stable_id(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:12]


def _sections(sweep: SweepSummary) -> Iterator["Section"]:
    import wandb_workspaces.workspaces as ws

    curves = [_curve(key, title) for key, title in CURVES.items() if key in sweep.metrics]
    if curves:
        yield ws.Section("Curves", curves, is_open=True, layout_settings=ws.SectionLayoutSettings(columns=2))
    final = [key for key in FINAL_METRICS if key in sweep.metrics]
    if final:
        yield ws.Section("What came out", _final_panels(sweep.axes, final), is_open=True)
    for quantity, layers in sweep.layers.items():
        charts = [
            _curve(f"signals/{layer}/{quantity}", layer, LAYER_QUANTITIES[quantity], quantity in _LOGARITHMIC)
            for layer in layers
        ]
        yield ws.Section(LAYER_CHARTS[quantity], charts)


def _curve(key: str, title: str, unit: str | None = None, log_y: bool = False) -> "LinePlot":
    """The mean over the seeds of each setting, and their range."""
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(
        title=title, x=STEP, y=[key], title_y=unit, log_y=log_y or None,
        groupby_aggfunc="mean", groupby_rangefunc="minmax", max_runs_to_show=_MAX_GROUPS,
    )  # fmt: skip


def _final_panels(
    axes: Sequence[str], final: Sequence[str]
) -> "list[ParallelCoordinatesPlot | BarPlot | ScalarChart]":
    """Settings beside what came of them, and each final metric by setting and at its best."""
    import wandb_workspaces.reports.v2 as wr

    columns = [wr.Config(axis) for axis in axes] + [wr.SummaryMetric(key) for key in final]
    return [
        wr.ParallelCoordinatesPlot(
            title="Settings and what came out",
            columns=[wr.ParallelCoordinatesPlotColumn(metric) for metric in columns],
        ),
        *(
            wr.BarPlot(
                title=FINAL_METRICS[key], metrics=[key], groupby_aggfunc="mean",
                groupby_rangefunc="stderr",
                max_bars_to_show=_MAX_GROUPS,
            )
            for key in final
        ),
        *(
            wr.ScalarChart(title=f"{FINAL_METRICS[key]}, the best of all", metric=key,
                           groupby_aggfunc="max" if key.endswith("acc") else "min")
            for key in final
        ),
    ]  # fmt: skip


def workspace_json(view: "Workspace") -> str:
    """The view as it is sent to W&B: the same sweep gives the same text."""
    content = view._to_model().model_dump(by_alias=True, exclude_none=True)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
