"""Output that cannot be written (a broken pipe, a full disk, a closed terminal or `>&-`) ends no run."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

_READER_GONE = (errno.EPIPE, errno.EIO)
"""A broken pipe (`| head`), a closed terminal."""


class ResilientStream:
    """A stream that ignores that it cannot be written to; the first error is kept in `fault`."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.fault: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._discard_from_now(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._discard_from_now(error)

    def _discard_from_now(self, error: OSError) -> None:
        """Sends what is written from now on to the null device, and what is still in the buffer too."""
        self.fault = self.fault or error
        with suppress(OSError, ValueError):
            null_device = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null_device, self._stream.fileno())
            os.close(null_device)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def resilient_output() -> Iterator[ResilientStream]:
    """Resilient streams for output and errors within the block; yields that of the output."""
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
    """Why the output could not be written; None where it was, or where its reader is gone."""
    output.flush()
    fault = output.fault
    return None if fault is None or fault.errno in _READER_GONE else fault.strerror


def _reopen_closed_streams() -> None:
    """Opens closed standard streams (`>&-`) on the null device: otherwise the next file that is opened would
    get their number, and be taken for the output here and in child processes."""
    for number, mode in enumerate(("r", "w", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        name = ("stdin", "stdout", "stderr")[number]
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
