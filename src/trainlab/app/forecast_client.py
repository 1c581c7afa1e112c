"""Forecasts while a person moves the controls: measured in a process beside the server, one after the other.

Asking gives a future; what was asked before and has not begun is dropped when something newer is asked by the
same person, and nobody else waits for it. No torch in this process.
"""

import json
import subprocess
import sys
import threading
from collections import Counter, OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from trainlab.errors import RequestError
from trainlab.settings import Settings

MAX_ANSWERS = 256


class ForecastClient:
    """The process, the answers so far (the newest `MOST_KEPT`), and a queue for one thing at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._queue = ThreadPoolExecutor(1, thread_name_prefix="forecasts")
        self._known: OrderedDict[str, Future] = OrderedDict()
        self._waiting: Counter[Future] = Counter()
        self._lock = threading.Lock()
        self._queue.submit(self._start)  # torch is being imported while the person looks

    def ask(self, settings: Settings, instead_of: Future | None = None) -> Future:
        """A future of the forecast as plain values; its `result` raises RequestError for what has none."""
        question = json.dumps([settings.to_json(), settings.trusted_sections])
        with self._lock:
            for over in [future for future in self._waiting if future.done()]:
                del self._waiting[over]
            found = self._known.pop(question, None)
            if instead_of is not None and instead_of is not found:
                self._give_up(instead_of)
            if found is None or found.cancelled() or (found.done() and _has_failed(found)):
                found = self._queue.submit(self._answer, question)
            if found is not instead_of:
                self._waiting[found] += 1
            self._known[question] = found
            while len(self._known) > MAX_ANSWERS:
                self._known.popitem(last=False)
        return found

    def _give_up(self, future: Future) -> None:
        """One less waits for it; where nobody does any more, it need not be begun."""
        self._waiting[future] -= 1
        if self._waiting[future] <= 0:
            del self._waiting[future]
            future.cancel()

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "trainlab.forecast.forecast_server"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        return self._process

    def _answer(self, question: str) -> dict[str, Any]:
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(question, file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RequestError(f"the forecast's process ended (exit code {process.wait()})")
        answer = json.loads(line)
        if "error" in answer:
            raise RequestError(answer["error"])
        return answer["forecast"]

    def close(self) -> None:
        """Ends the process."""
        self._queue.shutdown(wait=False, cancel_futures=True)
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _has_failed(answered: Future) -> bool:
    return isinstance(answered.exception(), RequestError)
