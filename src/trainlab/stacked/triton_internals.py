"""What of Triton is not public: compiling several kernels at once (Triton 3.4 and later).

`tests/stacked/test_triton_internals.py` says what broke when Triton changes.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread

import torch

from trainlab.process_limits import available_cores


def compile_side_by_side(jobs: Sequence[Callable[[], None]], device: torch.device) -> None:
    """Each job launches kernels with `warmup=True`: they are compiled by as many threads as there are cores.

    Where Triton has no such mode, or a job fails, the rest is left to the first launch of a kernel.
    """

    def compile_all() -> None:
        with suppress(Exception):
            from triton.runtime._async_compile import AsyncCompileMode

            with (
                torch.cuda.device(device),
                ThreadPoolExecutor(available_cores()) as workers,
                AsyncCompileMode(workers, ignore_errors=True),
            ):
                for job in jobs:
                    job()

    # Triton keeps the mode of a thread: one of its own leaves nothing behind
    thread = Thread(target=compile_all)
    thread.start()
    thread.join()
