"""What a preset brings besides settings: a launcher and a grid, which Hydra takes from one place only."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from trainlab.config.options import catalogue
from trainlab.errors import RequestError

if TYPE_CHECKING:
    from hydra.conf import HydraConf

LAUNCHER = "hydra/launcher"


def add_preset_launcher(words: Sequence[str]) -> list[str]:
    """The words of a command line, and the launcher that its preset names where they name none.

    Hydra overlooks it in a preset: of two choices in the defaults the first wins, which is train.yaml's.
    """
    says_itself = any(word.lstrip("+").startswith(f"{LAUNCHER}=") for word in words)
    launchers = [
        launcher for name in _preset_names(words) if (launcher := _preset_launcher(_read_preset(name)))
    ]
    return [*words, *(f"{LAUNCHER}={launcher}" for launcher in launchers[:1] if not says_itself)]


def refuse_swept_presets(names: Sequence[str]) -> None:
    """Refuses a sweep over presets of which one says how a sweep goes: there would be several answers.

    Raises:
        RequestError: naming the preset and what it brings.
    """
    for name in names:
        if brought := list(_sweep_settings(_read_preset(name))):
            raise RequestError(
                f"experiment={','.join(names)}: {name} brings {' and '.join(brought)}; "
                "expected one preset at a time"
            )


def refuse_sweep_settings(hydra: "HydraConf", timeout: object, stack: object) -> None:
    """Refuses, for a single run, what says how a sweep goes and would be ignored.

    `hydra` is Hydra's own configuration of the run, `timeout` is sweep.run_timeout, `stack` is sweep.stack.

    Raises:
        RequestError: naming it.
    """
    launcher = (LAUNCHER, LAUNCHER.replace("/", ".") + ".")
    ignored = [word for word in hydra.overrides.hydra if word.lstrip("+").startswith(launcher)]
    if params := hydra.sweeper.get("params"):
        ignored.append(f"the preset's grid ({', '.join(map(str, params))})")
    if timeout is not None:
        ignored.append(f"sweep.run_timeout={timeout}")
    if type(stack) is int and stack > 0:
        ignored.append(f"sweep.stack={stack}")
    if ignored:
        raise RequestError(f"{', '.join(ignored)}: for sweeps only; add -m, or leave it out")


def _preset_names(words: Sequence[str]) -> list[str]:
    """The presets that a command line names, where it names one and does not sweep over several."""
    names = [word.partition("=")[2] for word in words if word.lstrip("+").startswith("experiment=")]
    return [name for name in names if name in catalogue("experiment")]


def _read_preset(name: str) -> Mapping[str, Any]:
    option = catalogue("experiment").get(name)
    if option is None or option.fault:
        return {}  # Hydra's own reading says what is wrong
    return yaml.safe_load(option.path.read_text(encoding="utf-8")) or {}


def _preset_launcher(content: Mapping[str, Any]) -> str | None:
    for default in content.get("defaults") or ():
        if isinstance(default, Mapping):
            for key, value in default.items():
                if str(key).removeprefix("override").strip().lstrip("/") == LAUNCHER:
                    return str(value)
    return None


def _sweep_settings(content: Mapping[str, Any]) -> Sequence[str]:
    hydra = content.get("hydra") or {}
    params = (hydra.get("sweeper") or {}).get("params") or {}
    parts = {
        f"a grid of its own ({', '.join(map(str, params))})": params,
        "a launcher": _preset_launcher(content) or hydra.get("launcher"),
        "settings of a sweep": content.get("sweep"),
    }
    return [part for part, there in parts.items() if there]
