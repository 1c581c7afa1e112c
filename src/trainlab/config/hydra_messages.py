"""What Hydra and OmegaConf say over several lines, in one line and with the closest valid name."""

import re
from collections.abc import Mapping

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainlab.config import hydra_internals
from trainlab.config.options import AXIS_DESCRIPTIONS, first_unreadable_option, package_conf
from trainlab.config.overrides import syntax_error_message
from trainlab.config.synonyms import unknown_option, unknown_setting
from trainlab.errors import RequestError, unknown_name

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError)
"""What Hydra raises for a request that is wrong: a ValueError also for a file that is no UTF-8 text."""


def is_composition_error(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf raised it, and not what was called by them."""
    packages: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        packages.append(str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0])
        trace = trace.tb_next
    known = [package for package in packages if package in ("hydra", "omegaconf", "trainlab")]
    return bool(known) and known[-1] != "trainlab"


def one_line(error: Exception) -> str:
    """What Hydra or OmegaConf says over several lines, in one, with the closest valid name."""
    return str(composition_error(error))


def composition_error(error: Exception) -> RequestError:
    """What Hydra or OmegaConf raises, as an error of one line, with the closest valid name."""
    text = str(error)
    if isinstance(error, yaml.YAMLError | UnicodeDecodeError) and (broken := first_unreadable_option()):
        return RequestError(broken)
    if isinstance(error, OverrideParseException):
        return RequestError(syntax_error_message(error.override))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        group = group.removeprefix("/")
        if group in AXIS_DESCRIPTIONS:
            return unknown_option(group, option)
    if found := re.search(r"Ambiguous value for argument '(.+)'", text):
        return RequestError(
            f"{found[1]}: several values; add -m to sweep over them, or put one that has a comma in quotes"
        )
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], text)
    if found := re.search(r"In '[^']+': (.+)", text):
        text = found[1]
    cause = error.__cause__
    if cause is not None and str(cause) not in text:
        text = f"{text}: {cause}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("See https", "full_key:", "object_type="))]
    return RequestError(" ".join(lines))


def _unknown_key(key: str, text: str) -> RequestError:
    """`optimzer.lr` → the closest setting that does exist."""
    if "/" in key or key in AXIS_DESCRIPTIONS:
        return unknown_name("axis", key, AXIS_DESCRIPTIONS)
    if "No match in the defaults list" in text:
        return unknown_name("axis", key, AXIS_DESCRIPTIONS)
    known = setting_names()
    if key in known:
        return RequestError(f"{key} cannot be set like this: {text.splitlines()[0]}")
    value = re.search(r"use \+[^=\s]+=(.*)", text)
    return unknown_setting(key, value[1].strip() if value else None, known)


def setting_names() -> list[str]:
    """Dotted names of all settings of the default composition, groups' own keys and axes included."""
    loader = hydra_internals.make_loader(package_conf())
    config = OmegaConf.to_container(hydra_internals.compose(loader, "train", []), resolve=False)
    assert isinstance(config, dict)
    config.pop("hydra")
    names = list(AXIS_DESCRIPTIONS)

    def walk(node: Mapping[str, object], prefix: str) -> None:
        for key, value in node.items():
            name = f"{prefix}{key}"
            names.append(name)
            if isinstance(value, dict):
                walk(value, f"{name}.")

    walk({str(key): value for key, value in config.items()}, "")
    return [n for n in dict.fromkeys(names) if not n.rpartition(".")[2].startswith("_")]
