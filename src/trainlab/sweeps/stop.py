"""Ctrl-C once: finish what runs, start nothing. Twice: stop now. A terminal that is closed counts as once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Ctrl-C; what `kill` sends; a closed terminal; what SLURM can be asked to send before the end."""


class Stop:
    """Counts requests to stop while the block goes, instead of dying of them."""

    def __init__(self, on_request: Callable[[int], None]):
        self.requests = 0
        self._on_request = on_request
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
            # what was started with nohup goes on when its terminal is closed
            for number in [n for n in known if signal.getsignal(n) is not signal.SIG_IGN]:
                self._before[number] = signal.signal(number, self._requested)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _requested(self, number: int, frame: FrameType | None) -> None:
        self.requests += 1
        self._on_request(self.requests)
