"""Private parts of multiprocessing, one by one: what fails here has changed with the Python version."""

import multiprocessing
import multiprocessing.process
import multiprocessing.util
import os
import sys
from multiprocessing import forkserver
from typing import Any

import pytest

from trainlab.sweeps import multiprocessing_internals as internals

needs_forkserver = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="this system has no fork server"
)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@needs_forkserver
def test_the_fork_server_has_a_pid_that_is_forgotten_once_it_is_stopped():
    """`forkserver._forkserver._forkserver_pid` and `._stop()`."""
    internals.stop_forkserver()
    assert internals.forkserver_pid() is None
    with internals.without_main_module():
        internals.ensure_forkserver()
    first = internals.forkserver_pid()
    assert first is not None and is_alive(first)
    internals.stop_forkserver()
    assert internals.forkserver_pid() is None and not is_alive(first)
    with internals.without_main_module():
        internals.ensure_forkserver()
    assert internals.forkserver_pid() not in (None, first)
    internals.stop_forkserver()


@needs_forkserver
def test_stopping_where_there_is_no_fork_server_does_nothing():
    internals.stop_forkserver()
    internals.stop_forkserver()
    server: Any = forkserver._forkserver
    assert server._forkserver_pid is None


def test_the_folder_of_sockets_is_the_one_that_multiprocessing_uses():
    """`current_process()._config["tempdir"]`, which `multiprocessing.util.get_temp_dir()` fills and reads."""
    assert multiprocessing.util.get_temp_dir() == internals.socket_folder()


def test_no_folder_of_sockets_before_one_is_made(monkeypatch):
    process: Any = multiprocessing.process.current_process()
    monkeypatch.setitem(process._config, "tempdir", None)
    assert internals.socket_folder() is None


def test_a_process_started_without_main_module_does_not_import_it(tmp_path):
    """`multiprocessing.spawn.get_preparation_data` looks for `sys.modules["__main__"]`."""
    from multiprocessing.spawn import get_preparation_data

    main = sys.modules["__main__"]
    with internals.without_main_module():
        data = get_preparation_data("process")
    assert not {"init_main_from_path", "init_main_from_name"} & set(data)
    assert sys.modules["__main__"] is main
