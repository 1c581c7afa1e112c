"""Signals that ask a sweep to stop are counted, and do not end its process."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

SHUTDOWN_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Ctrl-C; what `kill` sends; a closed terminal; what SLURM can be told to send before the time limit."""


Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


class ShutdownRequests:
    """Counts the signals to stop inside the block, where the signals do not end this process."""

    def __init__(self, on_request: Callable[[int], None]):
        self.stop_signals = 0
        self._on_request = on_request
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> "ShutdownRequests":
        if threading.current_thread() is threading.main_thread():
            known = [getattr(signal, name) for name in SHUTDOWN_SIGNALS if hasattr(signal, name)]
            # what was started with nohup goes on when its terminal is closed
            for number in [n for n in known if signal.getsignal(n) is not signal.SIG_IGN]:
                self._before[number] = signal.signal(number, self._handle_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_signals += 1
        self._on_request(self.stop_signals)
