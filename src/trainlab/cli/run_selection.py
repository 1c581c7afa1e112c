"""Which runs a command is about: named ones, or those of a sweep, a status or a setting; the newest first."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from trainlab.analysis.run_lists import newest_first
from trainlab.analysis.varying_settings import setting_columns
from trainlab.config import synonyms
from trainlab.config.options import AXES, canonical_option
from trainlab.errors import RequestError, unknown_name
from trainlab.runs import cleanup, read_runs
from trainlab.runs.groups import GENERATED_PREFIXES, groups, read_group, read_groups
from trainlab.units import format_value, pluralize

FILTERABLE_OUTCOMES = ("learned", "cause", "layer", "status", "seed", "group", "device", "data_copy")
"""What can be asked for with --where besides settings."""


@dataclass(frozen=True)
class RunFilter:
    """What the user asked for: names of runs or sweeps, and what they must be like; everything by default."""

    runs: Sequence[str] = ()
    status: Sequence[str] = ()
    group: str | None = None
    where: Sequence[str] = field(default=())
    last: int | None = None
    everything: bool = False


@dataclass(frozen=True)
class SelectedRuns:
    """The runs, the newest first, and how many more there are: of claims and proofs, and older ones."""

    frame: pl.DataFrame
    hidden: int = 0
    older: int = 0

    @property
    def notes(self) -> list[str]:
        """What is not among them, for people."""
        said = []
        if self.older:
            said.append(f"the newest {self.frame.height:,} of {self.frame.height + self.older:,}: "
                        "--last N shows more, --last 0 all")  # fmt: skip
        if self.hidden:
            said.append(f"{pluralize(self.hidden, 'run')} of claims and proofs not shown: --all")
        return said


def select_runs(folder: Path, choice: RunFilter) -> SelectedRuns:
    """The runs of a folder that were asked for, with the settings in which they differ.

    Raises:
        RequestError: a name, status, sweep or setting that does not exist, or nothing that is so.
    """
    conditions = [_parse_condition(word) for word in choice.where]
    named = [*choice.runs, *([choice.group] if choice.group else [])]
    if choice.group is not None and choice.group not in groups(folder):
        raise unknown_name("sweep", choice.group, groups(folder))
    paths = cleanup.select_runs(folder, choice.runs, choice.status)
    names = [path.name if path.parent == folder else str(path) for path in paths]
    found = read_runs(folder, names, settings=True, also=[name for name, _, _ in conditions])
    for broken in found.broken:
        print(f"trainlab: skipped {broken}", file=sys.stderr)
    frame = newest_first(found.frame)
    if choice.group is not None:
        frame = frame.filter(pl.col("run_id").is_in(read_group(folder, choice.group)))
    shown = frame if named or choice.everything else _without_internal_groups(folder, frame)
    hidden = frame.height - shown.height
    for condition in conditions:
        shown = _apply_condition(shown, *condition)
    if choice.where:
        hidden = 0
    if shown.is_empty():
        raise RequestError(_no_runs_message(folder, choice, hidden))
    last = shown.head(choice.last) if choice.last else shown
    return SelectedRuns(last, hidden, shown.height - last.height)


def _without_internal_groups(folder: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Without the runs that only a claim or a proof has asked for."""
    own, of_users = set[str](), set[str]()
    for name, run_ids in read_groups(folder).items():
        if name.startswith(
            GENERATED_PREFIXES
        ):  # a proof is beside a run of the user's, which may be one of its two
            own |= set(run_ids) - {name.removeprefix("prove-")}
        else:
            of_users |= set(run_ids)
    hidden = [
        run_id not in of_users
        and ((group or "").startswith(GENERATED_PREFIXES) or (group is None and run_id in own))
        for run_id, group in frame.select("run_id", "group").iter_rows()
    ]
    return frame.filter(~pl.Series(hidden, dtype=pl.Boolean))


def _no_runs_message(folder: Path, choice: RunFilter, hidden: int) -> str:
    asked = [*choice.runs, *(f"--status {status}" for status in choice.status)]
    asked += [f"--group {choice.group}"] if choice.group else []
    asked += [f"--where {word}" for word in choice.where]
    said = f"no runs in {folder}" + (f" that are {' '.join(asked)}" if asked else "")
    if hidden:
        return f"{said}; {pluralize(hidden, 'run')} of claims and proofs: --all"
    return said if asked else f"{said}; `trainlab train` makes one"


RunCondition = tuple[str, bool, list[str]]
"""A column, whether its value is to be among these (or not among them), and the values as text."""


def _parse_condition(word: str) -> RunCondition:
    """`activation=relu,tanh`, `depth!=2`, `learned=no`; other names of settings lead to ours."""
    name, equals, values = word.partition("=")
    if not equals or not name.rstrip("!") or not values:
        raise RequestError(f"--where {word}: expected setting=value or setting!=value, as in activation=relu")
    is_wanted, name = not name.endswith("!"), name.rstrip("!").strip()
    meant = synonyms.setting_for_synonym(name)
    if meant is not None and name not in AXES and meant.value is None:
        name = meant.key
    return name, is_wanted, [_normalize_value(name, value.strip()) for value in values.split(",")]


def _normalize_value(name: str, value: str) -> str:
    """A value as the tables have it: `he` is kaiming, `1e-3` is 0.001, `yes` is true, `none` is no value."""
    if name in AXES:
        return canonical_option(name, synonyms.option_for_synonym(name, value) or value)
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
    have = [_comparable_text(value) for value in frame[name].to_list()]
    there = sorted(set(have), key=lambda value: (len(value), value) if value.isdecimal() else (99, value))
    for value in values:
        if value not in there and is_wanted:
            shown = ", ".join(there[:12]) + (", …" if len(there) > 12 else "")
            raise RequestError(f"--where {name}={value}: no run has it; there are: {shown or 'none'}")
    return frame.filter(pl.Series([(value in values) is is_wanted for value in have], dtype=pl.Boolean))


def _comparable_text(value: object) -> str:
    return (
        format_value(float(value))
        if isinstance(value, int) and not isinstance(value, bool)
        else format_value(value)
    )
