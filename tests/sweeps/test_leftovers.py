"""What a sweep leaves behind: nothing in the folder for temporary files; what it says: each warning once."""

import multiprocessing
import os
import sys
import time

import pytest
from rich.console import Console

from trainlab.sweeps import summary
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.outcome import Outcome

KEEPS_A_FOLDER = """
import tempfile
KEPT = tempfile.TemporaryDirectory(prefix="kept-", dir={folder!r})
open({folder!r} + "/imported", "w").close()
"""


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="there is no server")
@pytest.mark.parametrize("slow_import", [False, True])
def test_the_server_takes_its_temporary_folders_with_it(tmp_path, monkeypatch, slow_import):
    """As W&B makes them when it is imported. One that is busy is not waited for."""
    name = f"keeps_a_folder_{slow_import}"
    text = KEEPS_A_FOLDER.format(folder=str(tmp_path))
    (tmp_path / f"{name}.py").write_text(text + ("import time\ntime.sleep(30)\n" if slow_import else ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(tmp_path)
    ForkServer().close()  # that of an earlier test
    server = ForkServer(preload=[name])
    server.preload()
    until = time.monotonic() + 60
    while not (tmp_path / "imported").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert list(tmp_path.glob("kept-*"))
    if not slow_import:
        assert server.call(os.getpid) != os.getpid()  # it is past its imports
    since = time.monotonic()
    server.close()
    assert time.monotonic() - since < 10
    assert bool(list(tmp_path.glob("kept-*"))) == slow_import
    sys.modules.pop(name, None)


def test_each_warning_is_said_once_with_the_number_of_its_runs():
    away, other = "W&B cannot be reached [x]", "resume: begin anew"
    outcomes = [Outcome(str(i), "", "finished", warnings=(away,)) for i in range(3)]
    outcomes += [Outcome("a", "", "finished", warnings=(away, other))]
    outcomes += [Outcome("b", "", "finished", warnings=("said before",), reused=True)]
    console = Console(width=200, force_terminal=False)
    with console.capture() as captured:
        summary._print_warnings(outcomes, console)
    assert captured.get().splitlines() == [f"warning: {away} (4 runs)", f"warning: {other}"]
