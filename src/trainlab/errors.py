"""Errors that the user sees: one line each, with exit code 2; and what exceptions say, in one line."""

import difflib
import re
from collections.abc import Iterable

MAX_NAMES = 40
"""An error lists no more names than this: a folder may hold thousands of sweeps."""

TERMINAL_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that a terminal acts on: controls other than tab and new line, text-direction overrides."""


def sanitize(text: str) -> str:
    """The text with each of TERMINAL_CONTROLS, which may come from names that others chose, replaced by �."""
    return TERMINAL_CONTROLS.sub("�", text)


class RequestError(Exception):
    """The request itself is wrong: got, expected, available, closest valid name, all in one line."""

    def __str__(self) -> str:
        return sanitize(super().__str__())


class UnknownSettingError(RequestError):
    """A setting that does not exist, whatever its value."""


def error_message(error: BaseException) -> str:
    """The exception's message in one line; its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def error_with_type(error: BaseException) -> str:
    """`TypeError: …`, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def closest_name(got: str, available: Iterable[str]) -> str | None:
    """The available name most similar to `got`, or None when nothing is close."""
    matches = difflib.get_close_matches(str(got).lower(), list(available), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown_name(kind: str, got: object, available: Iterable[str]) -> RequestError:
    """The error for a name that does not exist: `unknown activation 'rleu': did you mean 'relu'? …`."""
    names = sorted(available)
    closest = closest_name(str(got), names)
    hint = f"did you mean '{closest}'? " if closest else ""
    more = f", … ({len(names)} in all)" if len(names) > MAX_NAMES else ""
    listing = f"available: {', '.join(names[:MAX_NAMES])}{more}" if names else "there are none"
    return RequestError(f"unknown {kind} '{got}': {hint}{listing}")


def describe_value(value: object) -> str:
    """A value of somebody else's settings for a message: one line, at most 120 characters, all printable."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= 120 else f"{text[:119]}…"
