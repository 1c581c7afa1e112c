"""The contract with what of Triton is not public."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

pytest.importorskip("triton")

from trainlab.stacked.triton_internals import compile_side_by_side  # after the check for triton


def test_kernels_are_compiled_by_an_executor_and_failures_are_passed_over():
    from triton.runtime._async_compile import AsyncCompileMode

    finished = []
    with ThreadPoolExecutor(2) as workers, AsyncCompileMode(workers, ignore_errors=True) as mode:
        mode.submit("good", lambda: "kernel", finished.append)
        mode.submit("bad", lambda: 1 / 0, finished.append)
    assert finished == ["kernel"]


def test_a_job_that_fails_leaves_no_mode_and_raises_nothing(monkeypatch):
    from triton.runtime._async_compile import active_mode

    done = []

    def fail():
        done.append(active_mode.get() is not None)
        raise ValueError

    monkeypatch.setattr(torch.cuda, "device", lambda device: ThreadPoolExecutor(1))
    compile_side_by_side([fail, lambda: done.append(False)], torch.device("cuda"))
    assert done == [True] and active_mode.get() is None
