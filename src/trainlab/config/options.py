"""The catalogue: every option of every axis is one YAML file; its first comment lines describe it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

import trainlab
from trainlab import axes
from trainlab.errors import unknown_name

AXIS_DESCRIPTIONS = {axis.name: axis.description for axis in axes.AXES}
"""What each axis is, in a few words, by its name."""


@dataclass(frozen=True)
class Option:
    """One choice on an axis: its name, one line on why, its paper, and the option it is an alias of.

    `fault` is what keeps its file from being read, if anything does.
    """

    axis: str
    name: str
    line: str
    paper: str | None
    alias_of: str | None
    path: Path
    fault: str | None = None


@cache
def package_conf() -> Path:
    """The `conf/` that came with the package: inside the wheel, or at the top of a checkout."""
    inside = Path(trainlab.__file__).parent / "conf"
    return inside if inside.is_dir() else Path(trainlab.__file__).parents[2] / "conf"


def user_conf() -> Path | None:
    """The user's own `./conf`, which goes before the package's, or None."""
    mine = Path.cwd() / "conf"
    return mine if mine.is_dir() and not mine.samefile(package_conf()) else None


def conf_folders() -> list[Path]:
    """Where options are looked for, first match first."""
    mine = user_conf()
    return [mine, package_conf()] if mine else [package_conf()]


def catalogue(axis: str) -> dict[str, Option]:
    """All options of `axis`, by name; RequestError with the closest name when there is no such axis."""
    if axis not in AXIS_DESCRIPTIONS:
        raise unknown_name("axis", axis, AXIS_DESCRIPTIONS)
    return _catalogue(axis, tuple(conf_folders()))


@cache
def _catalogue(axis: str, folders: tuple[Path, ...]) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for folder in folders:
        for path in sorted((folder / axis).glob("*.yaml")):
            found.setdefault(path.stem, _read_option(axis, path))
    return found


def first_unreadable_option() -> str | None:
    """The first file of options that cannot be read, and why; None where all can."""
    options = (option for axis in AXIS_DESCRIPTIONS for option in catalogue(axis).values())
    return next((f"{option.path}: {option.fault}" for option in options if option.fault), None)


def _read_option(axis: str, path: Path) -> Option:
    try:
        text = path.read_text(encoding="utf-8")
        alias = _alias_target(text)
    except UnicodeDecodeError as error:
        fault = f"not UTF-8 text (byte {error.object[error.start]:#04x} at {error.start})"
        return Option(axis, path.stem, f"cannot be read: {fault}", None, None, path, fault)
    except yaml.YAMLError as error:
        fault = " ".join(f"not YAML: {error}".split())
        return Option(axis, path.stem, f"cannot be read: {fault}", None, None, path, fault)
    comments = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            comments.append(line.lstrip("# ").rstrip())
    paper = next((c.removeprefix("Paper:").strip() for c in comments if c.startswith("Paper:")), None)
    return Option(axis, path.stem, comments[0] if comments else "", paper, alias, path)


def _alias_target(text: str) -> str | None:
    content = yaml.safe_load(text) or {}
    if not isinstance(content, dict):
        raise yaml.YAMLError(f"expected settings, got a {type(content).__name__}")
    defaults = content.get("defaults", [])
    if set(content) == {"defaults"} and len(defaults) == 1 and isinstance(defaults[0], str):
        return defaults[0]
    return None


def canonical_options(choices: Mapping[str, str]) -> dict[str, str]:
    """The names under which options are recorded, by axis: of an alias the option that it stands for."""
    folders = tuple(conf_folders())  # looked for once: a plan asks for thousands of settings
    canonical = {}
    for axis, name in choices.items():
        option = _catalogue(axis, folders).get(name)
        canonical[axis] = option.alias_of if option and option.alias_of else name
    return canonical
