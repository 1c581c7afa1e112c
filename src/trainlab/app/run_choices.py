"""Runs and settings as a user tells them apart and chooses among them: labels, and values to filter by."""

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from trainlab.analysis.varying_settings import setting_columns, varying_settings
from trainlab.units import format_value

SELF_EXPLANATORY_AXES = ("activation", "init", "model", "data", "optimizer")
"""Axes whose values are unique names."""
BUILD_KEYS = ("_target_", "_partial_")
"""Keys of a configuration that name the class to build: users know it by the option's name."""
MAX_FILTER_VALUES = 60
"""A setting with more values than this is not offered as a filter."""
OUTCOME_FILTERS = ("status", "cause")
"""Columns that are filters beside the settings."""


def format_setting(axis: str, value: object) -> str:
    """A value as a part of a name: `relu`; `depth=6` where the value alone does not say what it is."""
    is_self_explanatory = axis in SELF_EXPLANATORY_AXES and isinstance(value, str) and value != "none"
    return format_value(value) if is_self_explanatory else f"{axis}={format_value(value)}"


def setting_name(values: Mapping[str, object]) -> str:
    """The name of a setting: `relu, depth=6`. Axes without a value are left out."""
    return ", ".join(format_setting(axis, value) for axis, value in values.items() if value is not None)


def run_labels(frame: pl.DataFrame, by: Iterable[str] | None = None) -> dict[str, str]:
    """Labels of runs by id, in their order: the settings that differ, and the seed."""
    shown = [*(varying_settings(frame) if by is None else by), "seed"]
    columns = list(dict.fromkeys(name for name in shown if name in frame.columns))
    return {
        run_id: f"{run_id[:6]} · {setting_name(dict(zip(columns, row, strict=True)))}"
        for run_id, *row in frame.select("run_id", *columns).iter_rows()
    }


def trained_run_label(row: Mapping[str, object]) -> str:
    """`plain_cnn 12 · relu · kaiming · digits · 95.3% · bcd646980814`."""
    depth = f" {row['depth']}" if row.get("depth") is not None else ""
    norm, accuracy = row.get("norm_layer"), row.get("test/acc")
    parts = [
        f"{row.get('model')}{depth}",
        row.get("activation"),
        row.get("init"),
        None if norm == "none" else norm,
        row.get("data"),
        f"{accuracy:.1%}" if isinstance(accuracy, float) else "not tested",
        row["run_id"],
    ]
    return " · ".join(str(part) for part in parts if part is not None)


def selectable_settings(frame: pl.DataFrame) -> list[str]:
    """Settings to filter and group by: without the classes that are built, and none twice."""
    settings = setting_columns(frame)
    return [name for name in settings if not name.endswith(BUILD_KEYS) and not _repeats_an_axis(frame, name)]


def _repeats_an_axis(frame: pl.DataFrame, name: str) -> bool:
    axis = name.rpartition(".")[2]
    return axis != name and axis in frame.columns and frame[name].equals(frame[axis], null_equal=True)


def filter_choices(frame: pl.DataFrame) -> dict[str, list[str]]:
    """The values to filter by, of settings that no other setting determines."""
    kept = {*varying_settings(frame)} & {*selectable_settings(frame)}
    kept |= {"seed", *OUTCOME_FILTERS}
    return {name: values for name, values in values_by_setting(frame).items() if name in kept}


def values_by_setting(runs: pl.DataFrame) -> dict[str, list[str]]:
    """For each column in which runs differ, its sorted values as text; `–` where there is none."""
    values_of = {}
    for name in [*setting_columns(runs), "seed", *OUTCOME_FILTERS]:
        values = runs[name].unique().to_list()
        if 1 < len(values) <= MAX_FILTER_VALUES:
            values_of[name] = [format_value(value) for value in sorted(values, key=_sort_key)]
    return values_of


def filter_runs(runs: pl.DataFrame, wanted: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The runs whose value in each column of `wanted` is among those given; an empty list keeps all."""
    for name, texts in wanted.items():
        if texts and name in runs.columns:
            is_wanted = [format_value(value) in texts for value in runs[name]]
            runs = runs.filter(pl.Series(is_wanted, dtype=pl.Boolean))
    return runs


def _sort_key(value: object) -> tuple[bool, bool, object]:
    return value is None, isinstance(value, str), value
