"""The words of a command line before Hydra sees them: what is no override is refused in plain words."""

import re
from collections.abc import Sequence

from trainlab.config.options import AXES, catalogue
from trainlab.config.synonyms import Meant, setting, unknown_option
from trainlab.errors import RequestError

_NO_OPTION = re.compile(r"null|true|false|[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
PLAIN = ("seed", "depth", "width", "group", "checkpoint", "signals", "resume", "early_stop")
_PAIRS = {")": "(", "]": "[", "}": "{"}


def check_words(words: Sequence[str]) -> None:
    """Refuses what cannot be an override, with the way in which it is written.

    Raises:
        RequestError: a list with blanks, a flag, a word without `=`, an option that is a number.
    """
    for number, word in enumerate(words):
        before = words[number - 1] if number else ""
        after = words[number + 1] if number + 1 < len(words) else ""
        if (word.startswith(("=", ",")) and before) or (before.endswith((",", "=")) and "=" not in word):
            raise _blanks(words)
        if word.endswith(",") and after and "=" not in after:
            raise _blanks(words)
        if word.startswith("-"):
            raise _a_flag(word, after)
        if "=" not in word and not word.startswith("~") and not after.startswith("="):
            raise RequestError(unreadable(word))
        _check_choice(*word.partition("=")[::2])


def _check_choice(key: str, value: str) -> None:
    """What chooses an option of an axis is one name."""
    if key == "":
        raise RequestError(unreadable(f"={value}"))
    if key.lstrip("~") in AXES and key[0] == "~":
        raise RequestError(f"{key}: an axis cannot be left out; its options: trainlab options {key[1:]}")
    if key not in AXES or (key == "experiment" and value.lower() == "null"):
        return
    if _NO_OPTION.fullmatch(value) and value not in catalogue(key):
        raise RequestError(f"{key}={value}: {unknown_option(key, value)}")
    if value.startswith("[") and value.endswith("]"):
        names = re.sub(r"[\s\[\]]", "", value)
        raise RequestError(f"{key}={value}: expected one option; a sweep over several: -m {key}={names}")


def unreadable(word: str) -> str:
    """What is wrong with an override that cannot be read as name=value."""
    name, equals, value = word.partition("=")
    if not equals:
        having = [f"{axis}={word}" for axis in AXES if "/" not in axis and word in catalogue(axis)]
        return f"{word}: expected name=value" + (f", as in {having[0]}" if having else "")
    if not name:
        return f"{word}: expected name=value, got no name"
    if value.startswith("="):
        return f"{word}: expected one =, as in {name}={value.lstrip('=')}"
    if value.startswith(",") or value.endswith(",") or ",," in value:
        kept = ",".join(part for part in value.split(",") if part)
        return f"{word}: a value is missing beside a comma, expected {name}={kept or 'a,b'}"
    if not _closed(value):
        return f"{word}: brackets or quotes that are not closed"
    if not re.fullmatch(r"[~+]{0,2}[\w./@-]+", name):
        return f"{word}: '{name}' cannot be the name of a setting"
    return f"{word}: cannot be read as name=value; text with signs in it goes into quotes: {name}='\"…\"'"


def _blanks(words: Sequence[str]) -> RequestError:
    """For `activation=sigmoid, relu` and `activation = relu`: the same without blanks."""
    said = " ".join(words)
    joined = re.sub(r"\s*([=,])\s*", r"\1", said)
    return RequestError(f"{said}: there can be no blank beside = or a comma, expected {joined}")


def _a_flag(word: str, after: str) -> RequestError:
    """For `--seed 3` and `--lr=0.1`: settings are no flags."""
    has_value = "=" not in word and after and "=" not in after and not after.startswith("-")
    written = flag_as_setting(f"{word}={after}" if has_value else word)
    return RequestError(f"unknown flag {word}: settings are written name=value, without dashes: {written}")


def flag_as_setting(flag: str) -> str:
    """`--lr=0.1` as `optimizer.lr=0.1`; an example where no setting is called so."""
    name, _, value = flag.lstrip("-").partition("=")
    meant = setting(name) or (Meant(name) if name in (*AXES, *PLAIN) or "." in name else None)
    return f"{meant.key}={meant.value or value or '…'}" if meant else "as in seed=3"


def _closed(text: str) -> bool:
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
