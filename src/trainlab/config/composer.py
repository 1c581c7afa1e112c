"""`Composer`: overrides become settings. It alone calls Hydra's composition, for everybody.

Hydra takes about 0.2 s to compose one job. Its defaults list (which files, in which order) is a product when
the options do not refer to each other: each group owns a stretch of the list, whatever the others are. So the
list is asked from Hydra once for every option, not for every combination; files become plain dictionaries
once; merging, overriding and resolving them is then a fraction of a millisecond. Whatever is not plain
(a deletion, an override by a whole mapping, a resolver) goes the slow way through Hydra itself.
"""

import itertools
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from trainlab.config import hydra_internals
from trainlab.config.composition import (
    NOT_RUN_SETTINGS,
    check_global_package,
    complete,
    freeze,
)
from trainlab.config.grid import Grid, expand_grid
from trainlab.config.hydra_messages import COMPOSITION_ERRORS, one_line
from trainlab.config.options import AXES, conf_folders, package_conf
from trainlab.config.overrides import check_overrides, quote_text_values
from trainlab.config.synonyms import unknown_option
from trainlab.errors import RequestError
from trainlab.settings import SECTIONS, Settings

Choices = Mapping[str, str | None]
"""The option of each group, by the group's override key."""


_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_ENVIRONMENT = re.compile(r"\$\{oc\.env:\s*([^,${}\\]*)[^${}\\]*\}")


class _NotPlain(Exception):
    """Something that only Hydra and OmegaConf themselves can do."""


@dataclass(frozen=True)
class _Slice:
    """What an option puts in place of `reference[start:stop]` of the defaults list."""

    start: int
    stop: int
    entries: tuple[ResultDefault, ...]


@dataclass(frozen=True)
class _Reference:
    """A defaults list that others are made from by exchanging stretches."""

    chosen: Choices
    entries: tuple[ResultDefault, ...]
    known: Choices


class Composer:
    """Composes jobs that have most in common, each as Hydra composes it alone, at the price of a few.

    trusted: the sections that are the user's own, since this process's user wrote the overrides. Of a
        stranger's lines none is, and so it is where nothing is said.
    loader: of an application that Hydra is running; else one of our own `conf/`, behind the user's.
    """

    def __init__(
        self,
        trusted: Collection[str] = (),
        loader: ConfigLoader | None = None,
        config_name: str = "train",
        hydra_overrides: Sequence[str] = (),
    ):
        self._trusted = frozenset(trusted)
        self._loader = hydra_internals.make_loader(package_conf()) if loader is None else loader
        self._config_name = config_name
        self._hydra_overrides = list(hydra_overrides)
        self._repository = hydra_internals.open_repository(self._loader, config_name, self._hydra_overrides)
        self._is_group: dict[str, bool] = {}
        self._references: dict[tuple[str, ...], _Reference] = {}
        self._stretches: dict[tuple, _Slice | RequestError | None] = {}
        self._lists: dict[tuple, tuple[tuple[ResultDefault, ...], Choices]] = {}
        self._contents: dict[tuple[str | None, str | None], dict[str, Any]] = {}
        self._environment: dict[tuple[str, str | None], Any] = {}
        self._unknown_keys: dict[tuple, RequestError] = {}

    def one(self, overrides: Sequence[str] = ()) -> Settings:
        """The settings of one run.

        Raises:
            RequestError: an override that does not parse, names nothing that exists, or is out of range.
        """
        check_overrides(overrides)
        parsed = self.parse(overrides)
        if any(override.is_sweep_override() for override in parsed):
            return self._in_full(parsed)  # which refuses it
        return self.job(parsed)

    def grid(self, overrides: Sequence[str], params: Mapping[str, Any] | None = None) -> Grid:
        """The grid of a command line and of its preset, which the command line goes before.

        `params` is the preset's own grid (`hydra.sweeper.params`); None: that of the preset that is named.

        Raises:
            RequestError: what does not parse, an interval, values that come to nothing, a swept `sweep.*`.
        """
        check_overrides(overrides)
        params = self.preset_grid(overrides) if params is None else params
        preset = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
        return expand_grid(self.parse([*preset, *overrides]))

    def preset_grid(self, overrides: Sequence[str]) -> Mapping[str, Any]:
        """The grid of the preset that is named, by key; none where it has none, or none is named."""
        preset = [word for word in overrides if word.startswith("experiment=") and "," not in word]
        if not preset:
            return {}
        return hydra_internals.sweeper_params(self._hydra_config(preset))

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Overrides as Hydra reads them, texts quoted. Raises RequestError."""
        try:
            return hydra_internals.parse_overrides(self._loader, quote_text_values(overrides))
        except HydraException as error:
            raise RequestError(one_line(error)) from None

    def job(self, overrides: Sequence[Override]) -> Settings:
        """The settings of one job of a grid; its overrides have single values.

        Raises:
            RequestError: as `one` does.
        """
        chosen: dict[str, Override] = {}
        values: list[Override] = []
        for override in overrides:
            if not self._chooses(override):
                values.append(override)
            elif override.type is OverrideType.CHANGE and isinstance(override.value(), str):
                chosen[override.get_key_element()] = override
            elif isinstance(override.value(), str | list):
                return self._in_full(overrides)
            else:
                raise _unknown_option_error(override)
        entries, known = self._defaults({key: str(o.value()) for key, o in chosen.items()})
        try:
            settings = self._assembled(entries, values, known)
        except _NotPlain:
            return self._refused_or_in_full(overrides, values, known)
        return complete(settings, {key: str(value) for key, value in known.items()}, self._trusted)

    def _chooses(self, override: Override) -> bool:
        """Whether it names an option of a group, as Hydra decides it."""
        key = override.key_or_group
        if key not in self._is_group:
            self._is_group[key] = self._repository.group_exists(key)
        return self._is_group[key] and not isinstance(override.value(), dict)

    # Which files, in which order

    def _defaults(self, chosen: Choices) -> tuple[tuple[ResultDefault, ...], Choices]:
        """The defaults list and all choices, from a reference list where the groups are independent."""
        groups = tuple(sorted(chosen))
        if groups not in self._references:
            self._references[groups] = _Reference(chosen, *self._asked_from_hydra(chosen))
        reference = self._references[groups]
        changed = [key for key in groups if chosen[key] != reference.chosen[key]]
        stretches = [self._stretch(reference, key, chosen[key]) for key in changed]
        independent = [s for s in stretches if s is not None]
        independent.sort(key=lambda s: s.start)
        overlap = any(a.stop > b.start for a, b in itertools.pairwise(independent))
        if overlap or len(independent) < len(changed):
            return self._asked_from_hydra(chosen)
        entries = list(reference.entries)
        for stretch in reversed(independent):
            entries[stretch.start : stretch.stop] = stretch.entries
        return tuple(entries), {**reference.known, **chosen}

    def _stretch(self, reference: _Reference, key: str, option: str | None) -> _Slice | None:
        """What choosing `option` changes in the reference list; None when that is more than its own part."""
        groups = tuple(sorted(reference.chosen))
        name = (groups, key, option)
        if name not in self._stretches:
            try:
                self._stretches[name] = self._found_stretch(reference, key, option)
            except RequestError as error:
                self._stretches[name] = error
        found = self._stretches[name]
        if isinstance(found, RequestError):
            raise found
        return found

    def _found_stretch(self, reference: _Reference, key: str, option: str | None) -> _Slice | None:
        entries, known = self._asked_from_hydra({**reference.chosen, key: option})
        if known != {**reference.known, key: option} or self._refers_to_choices(entries):
            return None
        start = _common_prefix_length(reference.entries, entries)
        rest = _common_prefix_length(reference.entries[start:][::-1], entries[start:][::-1])
        stop = len(reference.entries) - rest
        # An option that adds to nothing would share its place with its neighbours: not certain whose it is
        return _Slice(start, stop, entries[start : len(entries) - rest]) if stop > start else None

    def _refers_to_choices(self, entries: Sequence[ResultDefault]) -> bool:
        """Whether a defaults list says `${model}`: then one group's choice moves another's."""
        loaded = [self._repository.load_config(e.config_path) for e in entries if e.config_path]
        defaults = [default for config in loaded if config for default in config.defaults_list or ()]
        return any("${" in f"{getattr(d, 'value', '')}{getattr(d, 'path', '')}" for d in defaults)

    def _asked_from_hydra(self, chosen: Choices) -> tuple[tuple[ResultDefault, ...], Choices]:
        name = tuple(sorted(chosen.items()))
        if name not in self._lists:
            overrides = [hydra_internals.option_override(key, option) for key, option in chosen.items()]
            try:
                found = hydra_internals.defaults_list(self._repository, self._config_name, overrides)
            except COMPOSITION_ERRORS as error:
                raise RequestError(one_line(error)) from None
            self._lists[name] = found
        return self._lists[name]

    # What they say, merged and resolved

    def _assembled(
        self, entries: Sequence[ResultDefault], values: Sequence[Override], known: Choices
    ) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for entry in entries:
            _merge(settings, self._content(entry))
        try:
            for override in values:
                _apply_override(settings, override)
            check_global_package(settings, known)
            return {k: self._resolved(v, settings) for k, v in settings.items() if k not in NOT_RUN_SETTINGS}
        except RecursionError:
            raise _NotPlain from None

    def _content(self, entry: ResultDefault) -> dict[str, Any]:
        name = (entry.config_path, entry.package)
        if name not in self._contents:
            try:
                content = hydra_internals.load_entry(self._loader, self._repository, entry)
            except COMPOSITION_ERRORS as error:
                raise RequestError(one_line(error)) from None
            self._contents[name] = {key: value for key, value in content.items() if key != "hydra"}
        return self._contents[name]

    def _resolved(self, value: Any, root: Mapping[str, Any]) -> Any:
        """A copy of `value` with its interpolations replaced by what they refer to."""
        if isinstance(value, dict):
            return {k: self._resolved(v, root) for k, v in value.items()}
        if isinstance(value, list):
            return [self._resolved(v, root) for v in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        if reference := _REFERENCE.fullmatch(value):
            return self._resolved(_look_up(root, reference[1]), root)
        if variable := _ENVIRONMENT.fullmatch(value):
            known = value, os.environ.get(variable[1])
            if known not in self._environment:
                self._environment[known] = OmegaConf.create({"value": value}).value
            return self._environment[known]
        raise _NotPlain

    # The slow way

    def _refused_or_in_full(
        self, overrides: Sequence[Override], values: Sequence[Override], known: Choices
    ) -> Settings:
        """In full; where a setting is unknown, jobs that have it too fail without being composed again."""
        name = (
            tuple((v.type, v.key_or_group) for v in values),
            tuple(sorted((k, str(v)) for k, v in known.items())),
        )
        if name in self._unknown_keys:
            raise self._unknown_keys[name]
        try:
            return self._in_full(overrides)
        except RequestError as error:
            if "unknown setting" in str(error):
                self._unknown_keys[name] = error
            raise

    def _in_full(self, overrides: Sequence[Override]) -> Settings:
        config = self._hydra_config([o.input_line or "" for o in overrides])
        return freeze(config, hydra_internals.option_choices(config), self._trusted)

    def _hydra_config(self, lines: Sequence[str]) -> DictConfig:
        try:
            return hydra_internals.compose(self._loader, self._config_name, [*self._hydra_overrides, *lines])
        except COMPOSITION_ERRORS as error:
            raise RequestError(one_line(error)) from None


def users_composer() -> Composer:
    """The composer of this process's user, whose words and whose `./conf` are trusted; made once."""
    return _users_composer(tuple(conf_folders()))


@cache
def _users_composer(folders: tuple[Path, ...]) -> Composer:
    return Composer(trusted=SECTIONS)


def compose(overrides: Sequence[str] = ()) -> Settings:
    """The settings of one run of the user's own. Raises RequestError, as `Composer.one` does."""
    return users_composer().one(overrides)


def _unknown_option_error(override: Override) -> RequestError:
    axis = override.key_or_group
    if axis in AXES:
        return unknown_option(axis, "null" if override.value() is None else str(override.value()))
    return RequestError(f"{override.input_line}: expected the name of an option of {axis}")


def _common_prefix_length(a: Sequence[ResultDefault], b: Sequence[ResultDefault]) -> int:
    """How many entries the two lists have in common at their beginning."""
    length = min(len(a), len(b))
    return next((i for i in range(length) if a[i] != b[i]), length)


def _merge(into: dict[str, Any], content: Mapping[str, Any]) -> None:
    """OmegaConf's merge on plain values: mappings merge, everything else replaces."""
    for key, value in content.items():
        before = into.get(key)
        if isinstance(value, dict):
            if isinstance(before, str) and "${" in before:
                raise _NotPlain  # OmegaConf merges into what it refers to
            if not isinstance(before, dict):
                into[key] = before = {}
            _merge(before, value)
        elif value == "???":
            into.setdefault(key, value)
        else:
            into[key] = value


def _apply_override(settings: dict[str, Any], override: Override) -> None:
    """Hydra's override on a plain tree: `a.b=1` where it exists, `+a.b=1` where not, `++a.b=1` anyhow."""
    value = override.value()
    if override.is_delete() or override.package is not None or isinstance(value, dict) or value == "???":
        raise _NotPlain
    *parents, last = override.key_or_group.split(".")
    node: Any = settings
    for key in parents:
        if not isinstance(node, dict) or key not in node:
            raise _NotPlain
        node = node[key]
    if not isinstance(node, dict) or "[" in override.key_or_group:
        raise _NotPlain
    if override.is_add() and node.get(last) is not None:
        raise _NotPlain
    if override.type is OverrideType.CHANGE and last not in node:
        raise _NotPlain
    before = node.get(last)
    if isinstance(before, str) and "${" in before and isinstance(value, list):
        raise _NotPlain
    node[last] = value


def _look_up(root: Mapping[str, Any], path: str) -> Any:
    node: Any = root
    for key in path.split("."):
        if isinstance(node, str) and "${" in node:
            raise _NotPlain  # through another interpolation
        if not isinstance(node, dict) or key not in node:
            raise _NotPlain
        node = node[key]
    if node == "???":
        raise _NotPlain
    return node
