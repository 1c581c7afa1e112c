"""Output that nobody takes ends no run, and the exit code says what became of the runs."""

import errno
import io
import os
import subprocess
import sys
from typing import IO, Any, cast

import pytest

from trainlab import cli
from trainlab.cli.resilient_output import (
    ResilientStream,
    _reopen_closed_streams,
    resilient_output,
    write_error,
)


class Broken(io.StringIO):
    """A stream in which nothing can be written after the first `good` writes."""

    def __init__(self, number: int, good: int = 0):
        super().__init__()
        self._number, self._good = number, good

    def write(self, text: str) -> int:
        self._good -= 1
        if self._good < 0:
            raise OSError(self._number, os.strerror(self._number))
        return super().write(text)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF])
def test_a_stream_stands_whatever_happens_to_it(number):
    stream: Any = ResilientStream(Broken(number, good=1))
    print("taken", file=stream)
    for _ in range(3):
        print("not taken", file=stream, flush=True)
    assert stream.fault.errno == number and stream.getvalue() == "taken"
    assert (write_error(stream) is None) == (number in (errno.EPIPE, errno.EIO))


def test_rich_writes_to_it():
    from rich.console import Console

    stream = ResilientStream(Broken(errno.EPIPE))
    Console(file=cast(IO[str], stream)).print("[bold]a table[/bold]")
    assert stream.fault is not None


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        (("options", "activation"), errno.EPIPE, 0),
        (("options", "activation"), errno.ENOSPC, 1),
        (("train", "sweep.plan_only=true", "logger=none"), errno.ENOSPC, 0),
        (("train", "sweep.plan_only=true", "logger=none"), errno.EPIPE, 0),
        (("train", "seed=-1"), errno.ENOSPC, 2),
    ],
)
def test_the_exit_code_is_about_the_runs_or_else_about_the_output(monkeypatch, command, number, code):
    monkeypatch.setattr(sys, "stdout", Broken(number))
    with pytest.raises(SystemExit) as end:
        cli.main(list(command))
    assert end.value.code == code


def test_afterwards_the_streams_are_what_they_were():
    before = sys.stdout, sys.stderr
    with resilient_output() as stream:
        assert sys.stdout is stream
    assert (sys.stdout, sys.stderr) == before


def test_closed_streams_are_opened_on_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    _reopen_closed_streams()
    assert sys.stdout is not None and sys.stdout.fileno() == 1


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux")  # noqa: PTH110
@pytest.mark.parametrize("where", ["| head -1", "> /dev/full", "> /dev/full 2>&1", ">&-", "<&- >&- 2>&-"])
def test_runs_go_on_when_nobody_listens(tmp_path, shared_cache, where):
    words = (
        "train -m seed=0,1 data=digits data.train_size=128 data.batch_size=32 trainer.max_epochs=1 model=mlp "
        f"logger=none paths.cache={shared_cache} paths.runs={tmp_path}"
    )
    line = f"set -o pipefail; {sys.executable} -m trainlab {words} {where}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*/result.json"))) == 2 and "Traceback" not in done.stderr
