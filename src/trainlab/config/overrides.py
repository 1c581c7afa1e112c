"""Overrides as people type them become overrides as Hydra reads them.

Hydra takes what looks like a number for one, and most punctuation for grammar. Names and paths are text,
whatever they look like: they are put in quotes here, before Hydra sees them. One door for all commands.
"""

import re
from collections.abc import Sequence

from hydra.core.override_parser.types import Quote, QuotedString

from trainlab.config.schema import Settings, text_settings

TEXTS_OF_OPTIONS = (
    "data.folder", "logger.project", "logger.entity", "hydra.launcher.folder", "hydra.launcher.address",
    "hydra.launcher.partition", "hydra.launcher.account", "hydra.launcher.qos",
)  # fmt: skip
"""Texts that only some option of an axis has, which the schema of all runs does not know."""

TEXTS = frozenset(text_settings(Settings)) | frozenset(TEXTS_OF_OPTIONS)

_OVERRIDE = re.compile(r"(?P<key>\+{0,2}(?P<name>[^=+~]+))=(?P<value>.*)", re.DOTALL)
_READ_AS_IT_IS = re.compile(
    r"""\s*( ['"\[{]  |  (choice|range|interval|glob|sort|shuffle|tag|extend_list|str|int|float|bool)\( )""",
    re.VERBOSE,
)
_NO_TEXT = {"resume": ("null", "true", "false")}
"""Words that are no text, by setting; for all others `null` alone."""


def as_hydra_reads(words: Sequence[str]) -> list[str]:
    """The same words, the values of texts in quotes; flags and what is quoted already stay as they are.

    A comma still separates the values of a sweep; a path that has one is put in quotes by who types it.
    """
    return [_as_hydra_reads(word) for word in words]


def _as_hydra_reads(word: str) -> str:
    found = None if word.startswith("-") else _OVERRIDE.fullmatch(word)
    if found is None:
        return word
    key, name, value = found["key"], found["name"], found["value"]
    if name not in TEXTS or not value or _READ_AS_IT_IS.match(value) or "${" in value:
        return word
    return f"{key}={','.join(_quoted(name, part) for part in value.split(','))}"


def _quoted(name: str, text: str) -> str:
    if not text or text.lower() in _NO_TEXT.get(name, ("null",)):
        return text
    return QuotedString(text, Quote.single).with_quotes()
