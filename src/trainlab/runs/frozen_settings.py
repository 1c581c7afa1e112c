"""config.yaml: a run's frozen settings, plain; and in which of them two runs differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from trainlab.runs.identity import flat_hashed_settings, flatten
from trainlab.runs.result import CorruptRunError
from trainlab.runs.safe_files import parse_bounded_yaml, read_bounded
from trainlab.section import Section
from trainlab.settings import Settings

SETTINGS_FILE = "config.yaml"

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def plain_copy(value: object) -> object:
    """A copy in which every section, mapping and sequence is a plain dictionary or list."""
    if isinstance(value, Section):
        return value.to_plain()
    if isinstance(value, Mapping):
        return {key: plain_copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_copy(item) for item in value]
    return value


def settings_yaml(settings: Settings | Mapping) -> str:
    """Settings as YAML, keys in their own order. Raises yaml.YAMLError for what is not plain."""
    return yaml.dump(plain_copy(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_settings(folder: Path) -> dict:
    """The frozen settings of the run in `folder`, which are untrusted. Raises CorruptRunError."""
    return read_settings_file(folder / SETTINGS_FILE)


def read_settings_file(path: Path) -> dict:
    """The frozen settings in a file, which are untrusted. Raises CorruptRunError naming its folder."""
    folder, name = path.parent, path.name
    try:
        settings = parse_bounded_yaml(read_bounded(path))
    except FileNotFoundError:
        raise CorruptRunError(folder, f"no {name}") from None
    except OSError as error:
        raise CorruptRunError(folder, f"{name} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CorruptRunError(folder, f"{name} is not YAML of settings ({error})") from error
    if not isinstance(settings, dict):
        raise CorruptRunError(folder, f"{name} holds {type(settings).__name__}, expected a mapping")
    return settings


def class_count(settings: Mapping) -> int | None:
    """`data.num_classes` of settings that may hold anything."""
    data = settings.get("data")
    count = data.get("num_classes") if isinstance(data, Mapping) else None
    return count if isinstance(count, int) and count > 1 else None


_MISSING = object()
_NOT_COMPARED = ("run_id", "axes.")
"""The name itself, and what is for people: the axes' contents say the same."""


class SettingDifference(NamedTuple):
    """A setting, its values in both runs (None where one has none), and whether it decides the result."""

    setting: str
    first: object
    second: object
    decides: bool


def diff_settings(first: Mapping, second: Mapping) -> list[SettingDifference]:
    """The settings in which two runs differ, those that decide the result before the others.

    Raises RequestError for settings that are not plain.
    """
    one, other = flatten(first), flatten(second)
    decide = flat_hashed_settings(first).keys() | flat_hashed_settings(second).keys()
    rows = [
        SettingDifference(name, one.get(name), other.get(name), name in decide)
        for name in dict.fromkeys([*one, *other])
        if not name.startswith(_NOT_COMPARED) and one.get(name, _MISSING) != other.get(name, _MISSING)
    ]
    return sorted(rows, key=lambda row: not row.decides)
