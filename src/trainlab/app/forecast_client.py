"""Forecasts while a user moves the controls: measured in a process beside the server, one after the other.

Asking gives a future. A request that has not begun is dropped when the same user asks for something newer and
nobody else waits for it. No torch in this process.
"""

import json
import subprocess
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypedDict

from trainlab.errors import RequestError
from trainlab.settings import Settings

MAX_ANSWERS = 256


class ForecastAnswer(TypedDict):
    """What the page shows of `trainlab.forecast.answer.Forecast`, as it arrives in JSON."""

    learns: float
    will_learn: bool
    says: str
    cause: str | None
    remedy: str | None
    layers: Sequence[Mapping[str, float | str | None]]


Answer = Future[ForecastAnswer]


class ForecastClient:
    """The process, the newest `MAX_ANSWERS` answers, and a queue that runs one request at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._queue = ThreadPoolExecutor(1, thread_name_prefix="forecasts")
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._waiting: Counter[Answer] = Counter()
        self._lock = threading.Lock()
        self._queue.submit(self._start)  # it imports torch while the user looks at the page

    def ask(self, settings: Settings, instead_of: Answer | None = None) -> Answer:
        """A future of the forecast; its `result` raises RequestError for settings that have none."""
        question = json.dumps([settings.to_json(), settings.trusted_sections])
        with self._lock:
            for done in [future for future in self._waiting if future.done()]:
                del self._waiting[done]
            answer = self._answers.pop(question, None)
            if instead_of is not None and instead_of is not answer:
                self._give_up(instead_of)
            if answer is None or answer.cancelled() or (answer.done() and _has_failed(answer)):
                answer = self._queue.submit(self._answer, question)
            if answer is not instead_of:
                self._waiting[answer] += 1
            self._answers[question] = answer
            while len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)
        return answer

    def _give_up(self, answer: Answer) -> None:
        """One user less waits for it; cancelled where nobody does any more."""
        self._waiting[answer] -= 1
        if self._waiting[answer] <= 0:
            del self._waiting[answer]
            answer.cancel()

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "trainlab.forecast.forecast_server"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        return self._process

    def _answer(self, question: str) -> ForecastAnswer:
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


def _has_failed(answer: Answer) -> bool:
    return isinstance(answer.exception(), RequestError)
