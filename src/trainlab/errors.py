"""What is told to the user in one line, with exit code 2."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

MAX_NAMES = 40
"""So many names are listed in an error: a folder may hold thousands of sweeps."""


TERMINAL_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys: control characters but for tab and new line, turns of the writing's direction."""


def sanitize(text: str) -> str:
    """A text with nothing in it that a terminal obeys: such characters, of others' names, are shown as �."""
    return TERMINAL_CONTROLS.sub("�", text)


class RequestError(Exception):
    """The request itself is wrong: got, expected, available, closest valid name, all in one line."""

    def __str__(self) -> str:
        return sanitize(super().__str__())


def error_message(error: BaseException) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def error_with_type(error: BaseException) -> str:
    """`TypeError: …`, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def closest_name(got: str, available: Iterable[str]) -> str | None:
    """The available name most like `got`, or None when nothing is near."""
    near = difflib.get_close_matches(str(got).lower(), list(available), n=1, cutoff=0.6)
    return near[0] if near else None


def unknown_name(kind: str, got: object, available: Iterable[str]) -> RequestError:
    """The error for a name that does not exist: `unknown activation 'rleu': did you mean 'relu'? …`."""
    names = sorted(available)
    near = closest_name(str(got), names)
    hint = f"did you mean '{near}'? " if near else ""
    more = f", … ({len(names)} in all)" if len(names) > MAX_NAMES else ""
    there = f"available: {', '.join(names[:MAX_NAMES])}{more}" if names else "there are none"
    return RequestError(f"unknown {kind} '{got}': {hint}{there}")


def describe_value(value: Any) -> str:
    """A stranger's value in a message: one line, of bounded length, with nothing that a terminal obeys."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= 120 else f"{text[:119]}…"
