"""Output that cannot be written (a broken pipe, a full disk, a closed terminal or `>&-`) ends no run."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

_READER_GONE = (errno.EPIPE, errno.EIO)
"""`| head` has had enough; the terminal is closed."""


class ResilientStream:
    """A stream that goes on without a word where nothing can be written, and remembers why in `fault`."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.fault: OSError | None = None

    def write(self, text: str) -> int:
        """As a stream's own."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """As a stream's own."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """From now on what is written goes nowhere; so does what is still in the buffer when Python ends."""
        self.fault = self.fault or error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def resilient_output() -> Iterator[ResilientStream]:
    """Standing streams for output and errors while the block goes; yields that of the output."""
    _reopen_closed_streams()
    before = sys.stdout, sys.stderr
    output, errors = ResilientStream(sys.stdout), ResilientStream(sys.stderr)
    sys.stdout, sys.stderr = output, errors  # type: ignore[assignment]
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def write_error(output: ResilientStream) -> str | None:
    """Why what was asked for could not be written; None where it was, or the reader had had enough of it."""
    output.flush()
    fault = output.fault
    return None if fault is None or fault.errno in _READER_GONE else fault.strerror


def _reopen_closed_streams() -> None:
    """`>&-`: the next file that is opened would be taken for the output, here and in our processes."""
    for number, mode in enumerate(("r", "w", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
        name = ("stdin", "stdout", "stderr")[number]
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
