"""config.yaml: a run's frozen settings, plain."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from trainlab.runs.result import BrokenRun

SETTINGS_FILE = "config.yaml"

# libyaml is ten times faster; it is missing from some builds of PyYAML
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def settings_text(settings: Mapping) -> str:
    """Settings as YAML, keys in their own order. Raises yaml.YAMLError for what is not plain."""
    return yaml.dump(dict(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_settings(folder: Path) -> dict:
    """The frozen settings of the run in `folder`. Raises BrokenRun."""
    try:
        settings = yaml.load((folder / SETTINGS_FILE).read_bytes(), Loader=Loader)
    except FileNotFoundError:
        raise BrokenRun(folder, f"no {SETTINGS_FILE}") from None
    except OSError as error:
        raise BrokenRun(folder, f"{SETTINGS_FILE} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:
        first_line = str(error).splitlines()[0]
        raise BrokenRun(folder, f"{SETTINGS_FILE} is not YAML ({first_line})") from error
    if not isinstance(settings, dict):
        raise BrokenRun(folder, f"{SETTINGS_FILE} holds {type(settings).__name__}, expected a mapping")
    return settings
