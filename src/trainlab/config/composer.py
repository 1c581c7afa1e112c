"""`Composer`: overrides become settings, with as few compositions by Hydra as possible.

Hydra takes about 0.2 s to compose one job. Where the options do not refer to each other, each group has its
own slice of the defaults list (which files, in which order), whatever the options of the other groups. So
Hydra computes the list once for every option, not for every combination; files become plain dictionaries
once; merging, overriding and resolving them (`plain_merge`) is then a fraction of a millisecond. What
`plain_merge` does not support (a deletion, an override by a whole mapping, a resolver) is composed by Hydra.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig

from trainlab.config import hydra_internals
from trainlab.config.composition import (
    NOT_RUN_SETTINGS,
    check_global_package,
    complete,
    freeze,
)
from trainlab.config.grid import Grid, expand_grid
from trainlab.config.hydra_messages import COMPOSITION_ERRORS, composition_error
from trainlab.config.options import AXIS_DESCRIPTIONS, conf_folders, package_conf
from trainlab.config.overrides import check_overrides, quote_text_values
from trainlab.config.plain_merge import NeedsHydra, apply_override, merge, resolve_interpolations
from trainlab.config.synonyms import unknown_option
from trainlab.errors import RequestError, UnknownSettingError
from trainlab.settings import SECTIONS, Settings

Choices = Mapping[str, str | None]
"""The option of each group, by the group's override key."""


@dataclass(frozen=True)
class _Slice:
    """What an option puts in place of `reference[start:stop]` of the defaults list."""

    start: int
    stop: int
    entries: tuple[ResultDefault, ...]


@dataclass(frozen=True)
class _Reference:
    """A defaults list from which others are made by replacing slices."""

    chosen: Choices
    entries: tuple[ResultDefault, ...]
    known: Choices


class Composer:
    """Composes many jobs that differ in few settings; each as Hydra composes it alone, in much less time.

    trusted: the sections to mark as trusted: all where this process's user wrote the overrides, none (the
        default) where somebody else did.
    loader: of an application that Hydra is running; else one that searches the user's `conf/`, then ours.
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
        self._slices: dict[tuple, _Slice | RequestError | None] = {}
        self._defaults_lists: dict[tuple, tuple[tuple[ResultDefault, ...], Choices]] = {}
        self._loaded: dict[tuple[str | None, str | None], dict[str, object]] = {}
        self._unknown_keys: dict[tuple, UnknownSettingError] = {}

    def one(self, overrides: Sequence[str] = ()) -> Settings:
        """The settings of one run.

        Raises:
            RequestError: an override that does not parse, names nothing that exists, or is out of range.
        """
        check_overrides(overrides)
        parsed = self.parse(overrides)
        if any(override.is_sweep_override() for override in parsed):
            return self._compose_with_hydra(parsed)  # which refuses it
        return self.job(parsed)

    def grid(self, overrides: Sequence[str], params: Mapping[str, object] | None = None) -> Grid:
        """The grid of a command line and of its preset, which the command line goes before.

        `params` is the preset's own grid (`hydra.sweeper.params`); None: that of the preset that is named.

        Raises:
            RequestError: what does not parse, an interval, values that come to nothing, a swept `sweep.*`.
        """
        check_overrides(overrides)
        params = self.preset_grid(overrides) if params is None else params
        preset = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
        return expand_grid(self.parse([*preset, *overrides]))

    def preset_grid(self, overrides: Sequence[str]) -> Mapping[str, object]:
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
            raise composition_error(error) from None

    def job(self, overrides: Sequence[Override]) -> Settings:
        """The settings of one job of a grid; its overrides have single values.

        Raises:
            RequestError: as `one` does.
        """
        chosen: dict[str, Override] = {}
        values: list[Override] = []
        for override in overrides:
            if not self._is_group_choice(override):
                values.append(override)
            elif override.type is OverrideType.CHANGE and isinstance(override.value(), str):
                chosen[override.get_key_element()] = override
            elif isinstance(override.value(), str | list):
                return self._compose_with_hydra(overrides)
            else:
                raise _unknown_option_error(override)
        entries, known = self._defaults({key: str(o.value()) for key, o in chosen.items()})
        try:
            settings = self._merge_entries(entries, values, known)
        except NeedsHydra:
            return self._compose_with_hydra_or_cached_error(overrides, values, known)
        return complete(settings, {key: str(value) for key, value in known.items()}, self._trusted)

    def _is_group_choice(self, override: Override) -> bool:
        """Whether it names an option of a group, as Hydra decides it."""
        key = override.key_or_group
        if key not in self._is_group:
            self._is_group[key] = self._repository.group_exists(key)
        return self._is_group[key] and not isinstance(override.value(), dict)

    # The defaults list: which files, in which order

    def _defaults(self, chosen: Choices) -> tuple[tuple[ResultDefault, ...], Choices]:
        """The defaults list and all choices, from a reference list where the groups are independent."""
        groups = tuple(sorted(chosen))
        if groups not in self._references:
            self._references[groups] = _Reference(chosen, *self._hydra_defaults_list(chosen))
        reference = self._references[groups]
        changed = [key for key in groups if chosen[key] != reference.chosen[key]]
        slices = [self._replacement_slice(reference, key, chosen[key]) for key in changed]
        independent = [s for s in slices if s is not None]
        independent.sort(key=lambda s: s.start)
        overlap = any(a.stop > b.start for a, b in itertools.pairwise(independent))
        if overlap or len(independent) < len(changed):
            return self._hydra_defaults_list(chosen)
        entries = list(reference.entries)
        for replacement in reversed(independent):
            entries[replacement.start : replacement.stop] = replacement.entries
        return tuple(entries), {**reference.known, **chosen}

    def _replacement_slice(self, reference: _Reference, key: str, option: str | None) -> _Slice | None:
        """What choosing `option` changes in the reference list; None when that is more than its own part."""
        groups = tuple(sorted(reference.chosen))
        cache_key = (groups, key, option)
        if cache_key not in self._slices:
            try:
                self._slices[cache_key] = self._find_replacement_slice(reference, key, option)
            except RequestError as error:
                self._slices[cache_key] = error
        found = self._slices[cache_key]
        if isinstance(found, RequestError):
            raise found
        return found

    def _find_replacement_slice(self, reference: _Reference, key: str, option: str | None) -> _Slice | None:
        entries, known = self._hydra_defaults_list({**reference.chosen, key: option})
        if known != {**reference.known, key: option} or self._refers_to_choices(entries):
            return None
        start = _common_prefix_length(reference.entries, entries)
        rest = _common_prefix_length(reference.entries[start:][::-1], entries[start:][::-1])
        stop = len(reference.entries) - rest
        # An insertion (start == stop) may touch a neighbouring slice: the order of the two is uncertain
        return _Slice(start, stop, entries[start : len(entries) - rest]) if stop > start else None

    def _refers_to_choices(self, entries: Sequence[ResultDefault]) -> bool:
        """Whether a defaults list says `${model}`: then one group's choice moves another's."""
        loaded = [self._repository.load_config(e.config_path) for e in entries if e.config_path]
        defaults = [default for config in loaded if config for default in config.defaults_list or ()]
        return any("${" in f"{getattr(d, 'value', '')}{getattr(d, 'path', '')}" for d in defaults)

    def _hydra_defaults_list(self, chosen: Choices) -> tuple[tuple[ResultDefault, ...], Choices]:
        cache_key = tuple(sorted(chosen.items()))
        if cache_key not in self._defaults_lists:
            overrides = [hydra_internals.option_override(key, option) for key, option in chosen.items()]
            try:
                found = hydra_internals.defaults_list(self._repository, self._config_name, overrides)
            except COMPOSITION_ERRORS as error:
                raise composition_error(error) from None
            self._defaults_lists[cache_key] = found
        return self._defaults_lists[cache_key]

    # The content of the files, merged and resolved

    def _merge_entries(
        self, entries: Sequence[ResultDefault], values: Sequence[Override], known: Choices
    ) -> dict[str, object]:
        settings: dict[str, object] = {}
        for entry in entries:
            merge(settings, self._load_entry(entry))
        try:
            for override in values:
                apply_override(settings, override)
            check_global_package(settings, known)
            return {
                k: resolve_interpolations(v, settings)
                for k, v in settings.items()
                if k not in NOT_RUN_SETTINGS
            }
        except RecursionError:
            raise NeedsHydra from None

    def _load_entry(self, entry: ResultDefault) -> dict[str, object]:
        cache_key = (entry.config_path, entry.package)
        if cache_key not in self._loaded:
            try:
                content = hydra_internals.load_entry(self._loader, self._repository, entry)
            except COMPOSITION_ERRORS as error:
                raise composition_error(error) from None
            self._loaded[cache_key] = {key: value for key, value in content.items() if key != "hydra"}
        return self._loaded[cache_key]

    # Composition by Hydra itself

    def _compose_with_hydra_or_cached_error(
        self, overrides: Sequence[Override], values: Sequence[Override], known: Choices
    ) -> Settings:
        """Composed by Hydra; an unknown setting fails at once for later jobs that have the same one."""
        cache_key = (
            tuple((v.type, v.key_or_group) for v in values),
            tuple(sorted((k, str(v)) for k, v in known.items())),
        )
        if cache_key in self._unknown_keys:
            raise self._unknown_keys[cache_key]
        try:
            return self._compose_with_hydra(overrides)
        except UnknownSettingError as error:
            self._unknown_keys[cache_key] = error
            raise

    def _compose_with_hydra(self, overrides: Sequence[Override]) -> Settings:
        config = self._hydra_config([o.input_line or "" for o in overrides])
        return freeze(config, hydra_internals.option_choices(config), self._trusted)

    def _hydra_config(self, lines: Sequence[str]) -> DictConfig:
        try:
            return hydra_internals.compose(self._loader, self._config_name, [*self._hydra_overrides, *lines])
        except COMPOSITION_ERRORS as error:
            raise composition_error(error) from None


def users_composer() -> Composer:
    """The composer of this process's user, whose overrides and `./conf` are trusted; made once."""
    return _users_composer(tuple(conf_folders()))


@cache
def _users_composer(folders: tuple[Path, ...]) -> Composer:
    return Composer(trusted=SECTIONS)


def compose(overrides: Sequence[str] = ()) -> Settings:
    """The settings of one run, trusted. Raises RequestError, as `Composer.one` does."""
    return users_composer().one(overrides)


def _unknown_option_error(override: Override) -> RequestError:
    axis = override.key_or_group
    if axis in AXIS_DESCRIPTIONS:
        return unknown_option(axis, "null" if override.value() is None else str(override.value()))
    return RequestError(f"{override.input_line}: expected the name of an option of {axis}")


def _common_prefix_length(a: Sequence[ResultDefault], b: Sequence[ResultDefault]) -> int:
    """How many entries the two lists have in common at their beginning."""
    length = min(len(a), len(b))
    return next((i for i in range(length) if a[i] != b[i]), length)
