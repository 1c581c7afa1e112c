"""One row a run: its settings, how it ended, and what its forecast had measured before it began."""

import math
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import torch

from experiments.preflight.design import PARTS
from trainlab.forecast.answer import TheoryReport
from trainlab.forecast.features import COMPARISON_FEATURES, FEATURE_NAMES
from trainlab.forecast.run_forecast import forecast_run
from trainlab.runs import RunFolder, read_metrics
from trainlab.runs.groups import read_group
from trainlab.settings import RunSettings

TABLE = Path(__file__).with_name("zoo.csv")
AXES = (
    "activation",
    "init",
    "normalization",
    "norm_layer",
    "model",
    "data",
    "optimizer",
    "scheduler",
    "depth",
)
METRICS = ("test/acc", "val/loss", "train/loss")
FEATURES = (*FEATURE_NAMES, *COMPARISON_FEATURES)
EARLY_STEPS = 50
"""What the baseline trains that no forecast may."""

DIGITS = 4
AT_ONCE = 20
"""After so many runs the table is written: what has been measured is not measured again."""


def measure(runs: Path, processes: int = 2, most: int | None = None, table: Path = TABLE) -> pl.DataFrame:
    """Adds the zoo's runs that the table lacks, writes it, and returns it. Nothing is trained."""
    design = {run_id: name for name, part in PARTS.items() for run_id in read_group(runs, part.group)}
    whole = pl.read_csv(table, infer_schema_length=None) if table.exists() else pl.DataFrame()
    have = set(whole["run_id"]) if len(whole) else set()
    left = [runs / run_id for run_id in design if run_id not in have and _ended(runs / run_id)][:most]
    # not forked: polars has threads by now, and they do not survive it
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for first in range(0, len(left), AT_ONCE):
            rows = [row for row in pool.map(_row, left[first : first + AT_ONCE]) if row is not None]
            whole = _numbered(_joined(whole, rows), design)
            whole.write_csv(table)
            print(f"{len(whole)} runs in the table", flush=True)
    return whole


def _joined(known: pl.DataFrame, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Both, by the names of their columns; without what the table as a whole says of a run."""
    parts = [known.drop("part", "number", "probability", strict=False)] if len(known) else []
    parts += [pl.DataFrame(rows, infer_schema_length=None)] if rows else []
    return pl.concat(parts, how="diagonal_relaxed")


def _numbered(table: pl.DataFrame, design: Mapping[str, str]) -> pl.DataFrame:
    """The runs in the order of the design, each with its part of the zoo and its number in all of it."""
    place = {run_id: number for number, run_id in enumerate(design)}
    return table.with_columns(
        part=pl.Series([design[run_id] for run_id in table["run_id"]]),
        number=pl.Series([place[run_id] for run_id in table["run_id"]]),
    ).sort("number")


def _ended(folder: Path) -> bool:
    return (folder / "result.json").exists()


def _row(folder: Path) -> dict[str, object] | None:
    """The row of one run; None for one that is no result."""
    torch.set_num_threads(1)
    result = RunFolder(folder).result()
    if result is None or result.verdict.learned is None:
        return None
    settings = RunFolder(folder).settings()
    forecast = forecast_run(settings)
    missing = dict.fromkeys(FEATURES, None)
    return {
        "run_id": folder.name,
        **_settings_columns(settings),
        "parameters": result.parameters,
        "learned": result.verdict.learned,
        "status": result.status,
        **{name.replace("/", "_"): _rounded(result.metrics.get(name)) for name in METRICS},
        **_early_losses(folder),
        **_theory_columns(forecast.theory),
        **{name: _rounded(value) for name, value in {**missing, **forecast.features}.items()},
    }  # fmt: skip


def _settings_columns(settings: RunSettings) -> dict[str, object]:
    init = settings.init.arguments
    return {
        **{axis: settings.axes[axis] for axis in AXES},
        "width": settings.width,
        "lr": settings.optimizer.lr,
        "weight_decay": float(settings.optimizer.weight_decay),
        "sigma_w2": init.get("sigma_w2"),
        "sigma_b2": init.get("sigma_b2"),
        "image_size": settings.data.image_size,
        "batch_size": settings.data.batch_size,
        "steps": settings.trainer.max_steps,
        "seed": settings.seed,
    }


def _early_losses(folder: Path) -> dict[str, float | None]:
    """Mean training loss of the first five steps and of five around step 50; None where it was not finite."""
    losses = read_metrics(folder).filter(pl.col("name") == "train/loss_step").sort("step")["value"].to_list()
    return {"loss_first": _mean(losses[:5]), "loss_50": _mean(losses[EARLY_STEPS - 5 : EARLY_STEPS])}


def _theory_columns(theory: TheoryReport | None) -> dict[str, float | None]:
    if theory is None:
        return {"chi1": None, "reach_layers": None, "layers": None}
    return {
        "chi1": _rounded(theory["chi1"]),
        "reach_layers": _rounded(min(theory["reach_layers"], 1e6)),
        "layers": theory["depth"],
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    return _rounded(sum(known) / len(known)) if known else None


def _rounded(value: float | None) -> float | None:
    """Four digits: what the table holds is what the fit sees."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")
