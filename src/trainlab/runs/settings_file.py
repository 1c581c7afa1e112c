"""config.yaml: a run's frozen settings, plain."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from trainlab.build import plain
from trainlab.runs.reading import parse_yaml, read_whole
from trainlab.runs.result import BrokenRun

SETTINGS_FILE = "config.yaml"

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def settings_text(settings: Mapping) -> str:
    """Settings as YAML, keys in their own order. Raises yaml.YAMLError for what is not plain."""
    return yaml.dump(plain(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_settings(folder: Path) -> dict:
    """The frozen settings of the run in `folder`, which are nobody's own. Raises BrokenRun."""
    return read_settings_file(folder / SETTINGS_FILE)


def read_settings_file(path: Path) -> dict:
    """The frozen settings in a file, which are nobody's own. Raises BrokenRun naming its folder."""
    folder, name = path.parent, path.name
    try:
        settings = parse_yaml(read_whole(path))
    except FileNotFoundError:
        raise BrokenRun(folder, f"no {name}") from None
    except OSError as error:
        raise BrokenRun(folder, f"{name} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BrokenRun(folder, f"{name} is not YAML of settings ({error})") from error
    if not isinstance(settings, dict):
        raise BrokenRun(folder, f"{name} holds {type(settings).__name__}, expected a mapping")
    return settings
