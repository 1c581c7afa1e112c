"""Overrides as people type them: checked in plain words, and quoted as Hydra reads them.

One door for all commands. Hydra takes what looks like a number for one, and most punctuation for
grammar. Names and paths are text, whatever they look like: they are put in quotes before Hydra sees them.
"""

import re
from collections.abc import Sequence

from hydra.core.override_parser.types import Quote, QuotedString

from trainlab.config.options import AXIS_DESCRIPTIONS, catalogue
from trainlab.config.synonyms import Suggestion, setting_for_synonym, unknown_option
from trainlab.errors import RequestError
from trainlab.settings import Settings, text_setting_names

OPTION_TEXT_SETTINGS = (
    "data.folder", "logger.project", "logger.entity", "hydra.launcher.folder", "hydra.launcher.address",
    "hydra.launcher.partition", "hydra.launcher.account", "hydra.launcher.qos",
)  # fmt: skip
"""Texts that only some option of an axis has, which the schema of all runs does not know."""

TEXT_SETTINGS = frozenset(text_setting_names(Settings)) | frozenset(OPTION_TEXT_SETTINGS)

_OVERRIDE = re.compile(r"(?P<key>\+{0,2}(?P<name>[^=+~]+))=(?P<value>.*)", re.DOTALL)
_HYDRA_SYNTAX = re.compile(
    r"""\s*( ['"\[{]  |  (choice|range|interval|glob|sort|shuffle|tag|extend_list|str|int|float|bool)\( )""",
    re.VERBOSE,
)
_NOT_TEXT = {"resume": ("null", "true", "false")}
"""Words that are no text, by setting; for all others `null` alone."""


def quote_text_values(words: Sequence[str]) -> list[str]:
    """The same words, the values of texts in quotes; flags and what is quoted already stay as they are.

    A comma still separates the values of a sweep; a path that has one is put in quotes by who types it.
    """
    return [_quote_text_value(word) for word in words]


def _quote_text_value(word: str) -> str:
    found = None if word.startswith("-") else _OVERRIDE.fullmatch(word)
    if found is None:
        return word
    key, name, value = found["key"], found["name"], found["value"]
    if name not in TEXT_SETTINGS or not value or _HYDRA_SYNTAX.match(value) or "${" in value:
        return word
    return f"{key}={','.join(_quoted(name, part) for part in value.split(','))}"


def _quoted(name: str, text: str) -> str:
    if not text or text.lower() in _NOT_TEXT.get(name, ("null",)):
        return text
    return QuotedString(text, Quote.single).with_quotes()


_NOT_AN_OPTION = re.compile(r"null|true|false|[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
PLAIN_SETTINGS = ("seed", "depth", "width", "group", "checkpoint", "signals", "resume", "early_stop")
_PAIRS = {")": "(", "]": "[", "}": "{"}


def check_overrides(words: Sequence[str]) -> None:
    """Refuses what cannot be an override, with the way in which it is written.

    Raises:
        RequestError: a list with blanks, a flag, a word without `=`, an option that is a number.
    """
    for number, word in enumerate(words):
        before = words[number - 1] if number else ""
        after = words[number + 1] if number + 1 < len(words) else ""
        if (word.startswith(("=", ",")) and before) or (before.endswith((",", "=")) and "=" not in word):
            raise _blank_error(words)
        if word.endswith(",") and after and "=" not in after:
            raise _blank_error(words)
        if word.startswith("-"):
            raise _flag_error(word, after)
        if "=" not in word and not word.startswith("~") and not after.startswith("="):
            raise RequestError(syntax_error_message(word))
        _check_option(*word.partition("=")[::2])


def _check_option(key: str, value: str) -> None:
    """What chooses an option of an axis is one name."""
    if key == "":
        raise RequestError(syntax_error_message(f"={value}"))
    if key.lstrip("~") in AXIS_DESCRIPTIONS and key[0] == "~":
        raise RequestError(f"{key}: an axis cannot be left out; its options: trainlab options {key[1:]}")
    if key not in AXIS_DESCRIPTIONS or (key == "experiment" and value.lower() == "null"):
        return
    if _NOT_AN_OPTION.fullmatch(value) and value not in catalogue(key):
        raise RequestError(f"{key}={value}: {unknown_option(key, value)}")
    if value.startswith("[") and value.endswith("]"):
        names = re.sub(r"[\s\[\]]", "", value)
        raise RequestError(f"{key}={value}: expected one option; a sweep over several: -m {key}={names}")


def syntax_error_message(word: str) -> str:
    """What is wrong with an override that cannot be read as name=value."""
    name, equals, value = word.partition("=")
    if not equals:
        having = [
            f"{axis}={word}" for axis in AXIS_DESCRIPTIONS if "/" not in axis and word in catalogue(axis)
        ]
        return f"{word}: expected name=value" + (f", as in {having[0]}" if having else "")
    if not name:
        return f"{word}: expected name=value, got no name"
    if value.startswith("="):
        return f"{word}: expected one =, as in {name}={value.lstrip('=')}"
    if value.startswith(",") or value.endswith(",") or ",," in value:
        kept = ",".join(part for part in value.split(",") if part)
        return f"{word}: a value is missing beside a comma, expected {name}={kept or 'a,b'}"
    if not _is_closed(value):
        return f"{word}: brackets or quotes that are not closed"
    if not re.fullmatch(r"[~+]{0,2}[\w./@-]+", name):
        return f"{word}: '{name}' cannot be the name of a setting"
    return f"{word}: cannot be read as name=value; text with signs in it goes into quotes: {name}='\"…\"'"


def _blank_error(words: Sequence[str]) -> RequestError:
    """For `activation=sigmoid, relu` and `activation = relu`: the same without blanks."""
    said = " ".join(words)
    joined = re.sub(r"\s*([=,])\s*", r"\1", said)
    return RequestError(f"{said}: there can be no blank beside = or a comma, expected {joined}")


def _flag_error(word: str, after: str) -> RequestError:
    """For `--seed 3` and `--lr=0.1`: settings are no flags."""
    has_value = "=" not in word and after and "=" not in after and not after.startswith("-")
    written = flag_as_setting(f"{word}={after}" if has_value else word)
    return RequestError(f"unknown flag {word}: settings are written name=value, without dashes: {written}")


def flag_as_setting(flag: str) -> str:
    """`--lr=0.1` as `optimizer.lr=0.1`; an example where no setting is called so."""
    name, _, value = flag.lstrip("-").partition("=")
    meant = setting_for_synonym(name) or (
        Suggestion(name) if name in (*AXIS_DESCRIPTIONS, *PLAIN_SETTINGS) or "." in name else None
    )
    return f"{meant.key}={meant.value or value or '…'}" if meant else "as in seed=3"


def _is_closed(text: str) -> bool:
    """Whether brackets and quotes come in pairs."""
    quote, opened = "", []
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in _PAIRS.values():
            opened.append(sign)
        elif sign in _PAIRS and (not opened or opened.pop() != _PAIRS[sign]):
            return False
    return not quote and not opened
