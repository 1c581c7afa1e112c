"""The fork server: what it answers, what it leaves behind, and sockets whose paths are too long."""

import multiprocessing
import multiprocessing.process
import multiprocessing.util
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import sweep_fakes as fakes

from trainlab.errors import RequestError
from trainlab.sweeps import forkserver as server_module
from trainlab.sweeps import multiprocessing_internals
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.process_exit import describe_exit_code


@pytest.fixture(scope="module")
def server() -> ForkServer:
    return ForkServer(preload=fakes.PRELOAD)


def test_a_helper_answers(server):
    assert server.call(fakes.answer, "well") == 42


@pytest.mark.parametrize(
    ("how", "said"),
    [("memory", "MemoryError: nothing left"), ("kill", "killed by SIGKILL, perhaps for want")],
)
def test_a_helper_that_cannot_answer_says_why_in_one_line(server, how, said, monkeypatch):
    monkeypatch.setattr(server_module, "memory_limit_note", lambda: "; memory is limited")
    with pytest.raises(RequestError, match=f"could not answer: {said}.*; memory is limited$"):
        server.call(fakes.answer, how)


def test_a_server_that_does_not_start_says_so_in_one_line(monkeypatch):
    def start(*_):
        raise OSError("the fork server cannot be started")

    monkeypatch.setattr(ForkServer, "start_process", start)
    with pytest.raises(RequestError, match="could not answer: the fork server cannot be"):
        ForkServer().call(fakes.answer, "well")


@pytest.mark.parametrize(
    ("code", "said"), [(1, "exit code 1"), (-6, "killed by SIGABRT, perhaps"), (-15, "killed by SIGTERM$")]
)
def test_how_a_process_died(code, said):
    assert re.match(said, describe_exit_code(code))


def test_a_limit_of_memory_is_named(monkeypatch):
    resource = pytest.importorskip("resource")
    from trainlab.sweeps.process_exit import memory_limit_note

    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * 2**29, 2**40))
    assert memory_limit_note() == "; memory is limited to 1.5 GiB (ulimit -v): expected a higher limit"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert memory_limit_note() == ""


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


@pytest.fixture
def long_temporary_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    process: Any = multiprocessing.process.current_process()
    monkeypatch.setitem(process._config, "tempdir", None)
    return folder


def test_a_long_folder_for_temporary_files_leaves_room_for_sockets(long_temporary_folder):
    multiprocessing_internals.use_short_socket_folder()
    assert len(multiprocessing.util.get_temp_dir()) < 100
    assert tempfile.gettempdir() == str(long_temporary_folder)  # everything else goes where it was


def test_no_folder_short_enough_is_one_line(long_temporary_folder, monkeypatch):
    monkeypatch.setattr(
        multiprocessing_internals,
        "_candidate_folders",
        lambda: iter([str(long_temporary_folder), "/dev/null"]),
    )
    with pytest.raises(
        RequestError, match=r"^TMPDIR=.*too long for the path of a socket; expected at most 70"
    ):
        multiprocessing_internals.use_short_socket_folder()


def test_ray_gets_a_short_folder_of_its_own(long_temporary_folder, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(multiprocessing_internals, "SHORT_FOLDERS", ("/tmp",))
    multiprocessing_internals.use_short_ray_folder()
    assert os.environ["RAY_TMPDIR"] == "/tmp"
    monkeypatch.delenv("RAY_TMPDIR")
