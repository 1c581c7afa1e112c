"""Which runs a command is about: named ones, or those of a sweep, a status or a setting; the newest first."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trainlab.analysis.run_lists import newest_first
from trainlab.analysis.varying_settings import setting_columns
from trainlab.config import synonyms
from trainlab.config.options import AXIS_DESCRIPTIONS, canonical_options
from trainlab.errors import RequestError, unknown_name
from trainlab.runs import cleanup, read_runs
from trainlab.runs.groups import GENERATED_PREFIXES, groups, read_group, read_groups
from trainlab.runs.resolve_runs import resolve_runs
from trainlab.runs.run_folder import checkpoint_path
from trainlab.terminal import PlainConsole
from trainlab.units import format_value, pluralize

FILTERABLE_OUTCOMES = ("learned", "cause", "layer", "status", "seed", "group", "device", "data_copy")
"""What --where takes besides settings."""


MAX_ROWS = 50
"""Rows shown on a screen where `--last` does not say how many; a pipe gets all."""


@dataclass(frozen=True)
class RunFilter:
    """Names of runs or sweeps, and conditions that the runs have to meet; all runs by default.

    `last` keeps the newest so many (None or 0: all), `everything` those of claims and proofs too.
    """

    runs: Sequence[str] = ()
    status: Sequence[str] = ()
    group: str | None = None
    where: Sequence[str] = ()
    last: int | None = None
    everything: bool = False


@dataclass(frozen=True)
class FilteredRuns:
    """The runs, the newest first; `hidden` counts those of claims and proofs that are left out, `older` those
    beyond `last`."""

    frame: pl.DataFrame
    hidden: int = 0
    older: int = 0

    @property
    def notes(self) -> list[str]:
        """A line for each kind of runs that is left out."""
        lines = []
        if self.older:
            total = self.frame.height + self.older
            lines.append(f"the newest {self.frame.height:,} of {total:,}: --last N shows more, --last 0 all")
        if self.hidden:
            lines.append(f"{pluralize(self.hidden, 'run')} of claims and proofs not shown: --all")
        return lines


def filter_runs(folder: Path, wanted: RunFilter) -> FilteredRuns:
    """The runs of a folder that pass the filter, with the settings in which they differ.

    Raises:
        RequestError: a name, status, sweep or setting that does not exist, or no run that passes.
    """
    conditions = [_parse_condition(word) for word in wanted.where]
    named = [*wanted.runs, *([wanted.group] if wanted.group else [])]
    if wanted.group is not None and wanted.group not in groups(folder):
        raise unknown_name("sweep", wanted.group, groups(folder))
    paths = cleanup.select_runs(folder, wanted.runs, wanted.status)
    names = [path.name if path.parent == folder else str(path) for path in paths]
    found = read_runs(folder, names, settings=True, also=[name for name, _, _ in conditions])
    for broken in found.broken:
        print(f"trainlab: skipped {broken}", file=sys.stderr)
    frame = newest_first(found.frame)
    if wanted.group is not None:
        frame = frame.filter(pl.col("run_id").is_in(read_group(folder, wanted.group)))
    shown = frame if named or wanted.everything else _without_internal_groups(folder, frame)
    hidden = frame.height - shown.height
    for condition in conditions:
        shown = _apply_condition(shown, *condition)
    if wanted.where:
        hidden = 0
    if shown.is_empty():
        raise RequestError(_no_runs_message(folder, wanted, hidden))
    last = shown.head(wanted.last) if wanted.last else shown
    return FilteredRuns(last, hidden, shown.height - last.height)


def row_limit(console: PlainConsole, last: int | None = None) -> int | None:
    """How many rows to show, None for all: `last` (0 for all), or where it is None what a screen can take."""
    if last is not None:
        return last or None
    return None if console.is_piped else MAX_ROWS


def find_run(folder: Path, name: str) -> Path:
    """The one run folder that `name` means.

    Raises:
        RequestError: none, or several.
    """
    found = resolve_runs(folder, name)
    if len(found) != 1:
        raise RequestError(
            f"'{name}' names {len(found)} runs, expected one: {', '.join(f.name for f in found[:8])}"
        )
    return found[0]


def find_run_with_checkpoint(folder: Path, name: str, checkpoint: str) -> Path:
    """The folder of a run that has this checkpoint: looked up before torch is imported, which takes seconds.

    Raises:
        RequestError: no such run, or no such checkpoint.
    """
    run = find_run(folder, name)
    checkpoint_path(run, checkpoint)
    return run


def _without_internal_groups(folder: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Without the runs that belong to claims and proofs alone."""
    generated, of_users = set[str](), set[str]()
    for name, run_ids in read_groups(folder).items():
        if name.startswith(GENERATED_PREFIXES):
            # one of a proof's two runs may be the user's own, after which it is named
            generated |= set(run_ids) - {name.removeprefix("prove-")}
        else:
            of_users |= set(run_ids)
    hidden = [
        run_id not in of_users
        and ((group or "").startswith(GENERATED_PREFIXES) or (group is None and run_id in generated))
        for run_id, group in frame.select("run_id", "group").iter_rows()
    ]
    return frame.filter(~pl.Series(hidden, dtype=pl.Boolean))


def _no_runs_message(folder: Path, wanted: RunFilter, hidden: int) -> str:
    conditions = [*wanted.runs, *(f"--status {status}" for status in wanted.status)]
    conditions += [f"--group {wanted.group}"] if wanted.group else []
    conditions += [f"--where {word}" for word in wanted.where]
    message = f"no runs in {folder}" + (f" that are {' '.join(conditions)}" if conditions else "")
    if hidden:
        return f"{message}; {pluralize(hidden, 'run')} of claims and proofs: --all"
    return message if conditions else f"{message}; `trainlab train` makes one"


RunCondition = tuple[str, bool, list[str]]
"""A column, whether its value is to be among these (or not among them), and the values as text."""


def _parse_condition(word: str) -> RunCondition:
    """`activation=relu,tanh`, `depth!=2`, `learned=no`; other names of settings lead to ours."""
    name, equals, values = word.partition("=")
    if not equals or not name.rstrip("!") or not values:
        raise RequestError(f"--where {word}: expected setting=value or setting!=value, as in activation=relu")
    is_wanted, name = not name.endswith("!"), name.rstrip("!").strip()
    meant = synonyms.setting_for_synonym(name)
    if meant is not None and name not in AXIS_DESCRIPTIONS and meant.value is None:
        name = meant.key
    return name, is_wanted, [_normalize_value(name, value.strip()) for value in values.split(",")]


def _normalize_value(name: str, value: str) -> str:
    """A value as the tables have it: `he` is kaiming, `1e-3` is 0.001, `yes` is true, `none` is no value."""
    if name in AXIS_DESCRIPTIONS:
        chosen = synonyms.option_for_synonym(name, value) or value
        return canonical_options({name: chosen})[name]
    if name == "learned":
        value = {"yes": "true", "no": "false"}.get(value.lower(), value.lower())
    try:
        return format_value(float(value))
    except ValueError:
        return format_value(None) if value.lower() in ("none", "null", "") else value


def _apply_condition(frame: pl.DataFrame, name: str, is_wanted: bool, values: Sequence[str]) -> pl.DataFrame:
    available = [*setting_columns(frame), *FILTERABLE_OUTCOMES]
    if name not in available:
        raise unknown_name("setting", name, dict.fromkeys(available))
    recorded = [_comparable_text(value) for value in frame[name].to_list()]
    levels = sorted(
        set(recorded), key=lambda value: (len(value), value) if value.isdecimal() else (99, value)
    )
    for value in values:
        if value not in levels and is_wanted:
            shown = ", ".join(levels[:12]) + (", …" if len(levels) > 12 else "")
            raise RequestError(f"--where {name}={value}: no run has it; there are: {shown or 'none'}")
    return frame.filter(pl.Series([(value in values) is is_wanted for value in recorded], dtype=pl.Boolean))


def _comparable_text(value: object) -> str:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return format_value(float(value) if is_integer else value)
