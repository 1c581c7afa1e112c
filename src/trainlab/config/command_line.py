"""Command lines that can be pasted: of a command, of a sweep, of a run from its frozen settings.

Whatever is suggested, in the terminal and in the app, is written here: with the folder of runs that it was
asked about, and quoted for the shell.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from trainlab.config.options import package_conf
from trainlab.errors import RequestError
from trainlab.runs.identity import flatten
from trainlab.settings import Settings

OMITTED = (
    "paths.", "axes.", "logger.", "pruning.", "trainer.accelerator", "trainer.strategy", "trainer.threads",
    "trainer.progress_bar", "trainer.cuda_graph", "run_id", "fingerprint", "copy", "own_code.", "group",
    "rerun", "resume", "signals", "checkpoint", "model.depth", "model.width",
)  # fmt: skip
"""Settings that decide nothing about the result, and those that another one sets."""


_PLAIN_WORD = re.compile(r"[A-Za-z/.][\w/.+@%-]*", re.ASCII)
_READ_IN_DOUBLE_QUOTES = re.compile(r'["$`\\!]')
_NOT_TEXT = ("null", "true", "false", "inf", "nan")


def trainlab_command_line(*words: str, runs: Path | str | None = None) -> str:
    """`trainlab explain 4f2a --runs FOLDER`: a command about the runs in a folder.

    `--runs` is left out where the command goes there anyway. Words in capitals, as RUN, are for the user.
    """
    options = [] if _is_default_folder(runs) else ["--runs", _shortest_path(runs)]
    return " ".join(["trainlab", *map(_quote_for_shell, [*words, *options])])


def train_command_line(overrides: Iterable[str] = (), runs: Path | str | None = None) -> str:
    """`python train.py activation=relu paths.runs=FOLDER`: a run, or with `-m` a sweep, recorded in a folder.

    `trainlab train …` where there is no train.py of ours.
    """
    place = [] if _is_default_folder(runs) else [f"paths.runs={quote_for_hydra(_shortest_path(runs))}"]
    return " ".join([*_program(), *map(_quote_for_shell, [*overrides, *place])])


def _is_default_folder(runs: Path | str | None) -> bool:
    """Whether a command that names no folder uses this one."""
    usual = os.environ.get("TRAINLAB_RUNS") or "runs"
    return runs is None or Path(runs).expanduser().absolute() == Path(usual).expanduser().absolute()


def _shortest_path(folder: Path | str | None) -> str:
    """The folder as short as it can be said here."""
    path = Path(folder or ".").expanduser().absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _program() -> list[str]:
    here = Path.cwd()
    in_checkout = (here / "train.py").is_file() and package_conf() == here / "conf"
    return ["python", "train.py"] if in_checkout else ["trainlab", "train"]


def _quote_for_shell(word: str) -> str:
    """A word as the shell takes it; `…` stands for what is left out.

    A word with quotes of Hydra's goes into double quotes, where the shell finds nothing to read in it.
    """
    if "'" in word and not _READ_IN_DOUBLE_QUOTES.search(word):
        return f'"{word}"'
    return word if word == "…" else shlex.quote(word)


def quote_for_hydra(value: str) -> str:
    """Text as Hydra reads it back: `2026` and `a, b` in quotes of its own."""
    if _PLAIN_WORD.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    # Hydra's rule: backslashes count only before a quote, its own closing one among them
    escaped = re.sub(r"(\\+)(?='|$)", r"\1\1", value).replace("'", r"\'")
    return f"'{escaped}'"


def strip_needless_quotes(value: str) -> str:
    """A value as Hydra takes it, without quotes that it does not need: `'/a/b'` is `/a/b`."""
    inner = value[1:-1]
    return inner if value == f"'{inner}'" and inner and quote_for_hydra(inner) == inner else value


def command_line_for_run(
    settings: Settings, change: str = "", runs: Path | str | None = None, *, sweep: bool = False
) -> str:
    """`python train.py …` with the overrides of the run, and `change` in the place of what it changes.

    `runs` is the folder that the new run is to lie in: that of the run itself, as a rule. Where the run has
    options that are not to be found here (a user's own), they are left as `…`. With `sweep`, `-m`.
    """
    from trainlab.config.composer import compose

    flags = ["-m"] if sweep else []
    changed = {override.partition("=")[0] for override in change.split()}
    axes = {axis: name for axis, name in settings.axes.items() if axis != "depth"}
    try:
        defaults = compose([f"model={axes['model']}"]).axes | {"model": compose().axes["model"]}
        named = [f"{axis}={name}" for axis, name in axes.items() if name != defaults[axis]]
        base = flatten(compose(named).to_plain())
    except RequestError:
        return train_command_line([*flags, "…", *change.split()], runs)
    overrides = [override for override in named if override.partition("=")[0] not in changed]
    for key, value in flatten(settings.to_plain()).items():
        of_changed_axis = key.partition(".")[0] in changed and key.partition(".")[0] in axes
        by_steps = key == "trainer.max_epochs" and value is None  # what trainer.max_steps alone makes of it
        known = base.get(key) == value or by_steps
        starts_elsewhere = key == "resume" and isinstance(value, str)
        if (key.startswith(OMITTED) and not starts_elsewhere) or key in changed or of_changed_axis or known:
            continue
        overrides.append(f"{'' if key in base else '+'}{key}={_override_value(value)}")
    overrides += _data_override(settings)
    return train_command_line([*flags, *overrides, *change.split()], runs)


def _data_override(settings: Settings) -> list[str]:
    """`paths.data=…` where the run found its data elsewhere than a command would look, and they are there."""
    place = settings.paths.data
    usual = os.environ.get("TRAINLAB_DATA") or "data"
    if Path(place) == Path(usual).absolute() or not Path(place).is_dir():
        return []
    return [f"paths.data={quote_for_hydra(_shortest_path(place))}"]


def _override_value(value: object) -> str:
    """A value as Hydra reads it."""
    return quote_for_hydra(value) if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
