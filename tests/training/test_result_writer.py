"""A result, once had, is never lost or changed: faults of trackers, signals at every place, clocks."""

import json
import os
import signal
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fsspec.implementations.local import get_umask

from trainlab import runs
from trainlab.runs import RunFolder
from trainlab.runs.result import DONE_STATUSES, CorruptRunError
from trainlab.sweeps import process_main
from trainlab.training import result_writer
from trainlab.training import run as run_module
from trainlab.training.classifier import Classifier
from trainlab.training.interruption import STOP_SIGNALS, FirstSignal, Interrupted, Interruption
from trainlab.training.timing import Elapsed

SHORT = ("trainer.max_epochs=2", "signals=off")


class Tracker:
    """A tracker that fails at one place, with anything that an exception can be."""

    def __init__(self, place: str, error: BaseException):
        self.place, self.error = place, error

    def log_metrics(self, metrics, step=None):
        self._fail_at("log")

    def finalize(self, status):
        self._fail_at("close")

    def log_graph(self, *_):
        pass

    def save(self):
        pass

    after_save_checkpoint = log_hyperparams = log_graph

    def _fail_at(self, place):
        if place == self.place:
            raise self.error


def failing_at(place: str, error: BaseException, monkeypatch) -> None:
    """Puts the tracker in the place of `logger=csv`."""

    def option(context):
        if place == "open":
            raise error
        return Tracker(place, error)

    monkeypatch.setattr("trainlab.training.tracking.csv_logger", option)


@pytest.fixture
def folder(settings):
    """The folder of the quick run with overrides."""

    def of(*overrides: str) -> RunFolder:
        frozen = settings(*overrides)
        return RunFolder(Path(frozen.paths.runs) / frozen.run_id)

    return of


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("open", OSError(28, "full")),
        ("log", ConnectionResetError("lost")),
        ("close", ValueError("odd\nover two lines")),
        ("close", SystemError()),
    ],
)
def test_what_a_tracker_raises_is_a_warning_in_the_record(run, monkeypatch, place, error):
    failing_at(place, error, monkeypatch)
    result, folder = run("logger=csv", *SHORT)
    written = folder.result()
    assert written.status == result.status == "finished"
    assert written.verdict == result.verdict and written.verdict.learned is not None
    assert written.metrics == result.metrics and len(written.metrics) == 6
    assert len(written.warnings) == 1 and type(error).__name__ in written.warnings[0]
    assert "\n" not in written.warnings[0]


def test_ctrl_c_while_the_tracker_closes_ends_the_waiting_and_not_the_run(run, monkeypatch):
    failing_at("close", KeyboardInterrupt(), monkeypatch)
    _, folder = run("logger=csv", *SHORT)
    written = folder.result()
    assert written.status == "finished" and written.verdict.learned is not None
    assert len(written.warnings) == 1 and "interrupted" in written.warnings[0]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_while_the_tracker_closes_changes_nothing(run, monkeypatch, name):
    monkeypatch.setattr(Tracker, "finalize", lambda *_: os.kill(os.getpid(), getattr(signal, name)))
    failing_at("nowhere", ValueError(), monkeypatch)
    _, folder = run("logger=csv", "trainer.max_steps=2", *SHORT)
    assert folder.result().status == "finished"


def test_a_failed_run_stays_what_it_is_when_its_tracker_fails_too(run, folder, monkeypatch):
    def broken(self, batch, batch_idx):
        raise MemoryError("no room")

    monkeypatch.setattr(Classifier, "training_step", broken)
    failing_at("close", ValueError("odd"), monkeypatch)
    with pytest.raises(MemoryError):
        run("logger=csv", *SHORT)
    written = folder("logger=csv", *SHORT).result()
    assert written.status == "failed" and written.error["type"] == "MemoryError"
    assert len(written.warnings) == 1 and "odd" in written.warnings[0]


@pytest.mark.parametrize("status", DONE_STATUSES)
def test_a_result_is_overwritten_by_nothing_but_a_new_beginning(make_folder, status):
    folder, result = make_folder(status)
    with pytest.raises(ValueError, match="not overwritten"):
        folder.finish(result)
    folder.add_warnings(["the tracker was away"])
    folder.add_warnings(["the tracker was away", "twice"])
    assert folder.result().warnings == ("the tracker was away", "twice")
    assert folder.result().status == status
    folder.begin()
    folder.finish(result)
    assert folder.result() == result


@pytest.fixture
def make_folder(tmp_path):
    def make(status: str):
        folder = RunFolder(tmp_path / "abc").create()
        result = runs.Result(run_id="abc", status=status)
        folder.finish(result)
        return folder, result

    return make


def test_a_record_without_warnings_is_read(make_folder):
    folder, result = make_folder("finished")
    path = folder.path / "result.json"
    raw = json.loads(path.read_text())
    del raw["warnings"]
    path.write_text(json.dumps(raw))
    assert folder.result() == result
    path.write_text(json.dumps(raw | {"warnings": "text"}))
    with pytest.raises(CorruptRunError, match="warnings is 'text'"):
        folder.result()


PLACES = {
    "before the first step": (run_module, "build_classifier", "interrupted"),
    "in a step": (Classifier, "training_step", "interrupted"),
    "in the test": (Classifier, "test_step", "finished"),
    "while the result is written": (result_writer, "diagnose_at_end", "finished"),
}


ALL_SIGNALS = [n for n in STOP_SIGNALS if hasattr(signal, n)]
PAIRS = [(place, name) for place in PLACES for name in ALL_SIGNALS]
"""Each signal in a step by default, one signal at each place; the rest is slow only for its number."""


@pytest.mark.parametrize(
    ("place", "name"),
    [
        pytest.param(place, name, marks=() if place == "in a step" or name == "SIGHUP" else pytest.mark.slow)
        for place, name in PAIRS
    ],
)
def test_one_signal_leaves_a_record_wherever_it_comes(run, folder, monkeypatch, place, name):
    where, attribute, status = PLACES[place]
    _signal_in(where, attribute, [getattr(signal, name)], monkeypatch)
    if status == "finished":
        run(*SHORT)
    else:
        with pytest.raises(Interrupted):
            run(*SHORT)
    assert folder(*SHORT).status() == status
    monkeypatch.undo()
    assert run(*SHORT)[0].status == "finished"


@pytest.mark.parametrize("place", ["before the first step", "in a step", "in the test"])
@pytest.mark.parametrize("count", [2, 3])
def test_quick_signals_never_make_a_failure(run, folder, monkeypatch, place, count):
    """Lightning makes an exit of the second one, and a third may come while it does."""
    where, attribute, _ = PLACES[place]
    _signal_in(where, attribute, [signal.SIGINT] * count, monkeypatch)
    with pytest.raises(Interrupted):
        run(*SHORT)
    written = folder(*SHORT).result()
    assert written.status == "interrupted" and written.error is None
    monkeypatch.undo()
    assert run(*SHORT)[0].status == "finished"


def _signal_in(where, attribute: str, numbers: list, monkeypatch) -> None:
    """The first call of a function gets these signals, one after the other."""
    called, left = getattr(where, attribute), list(numbers)

    def signalled(*arguments, **named):
        try:
            while left:
                signal.raise_signal(left.pop())
        finally:
            while left:  # a further one while the first is on its way
                signal.raise_signal(left.pop())
        return called(*arguments, **named)

    monkeypatch.setattr(where, attribute, signalled)


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption(None).handling_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_exit_that_no_signal_made_is_no_interruption():
    with pytest.raises(SystemExit), Interruption(None).handling_signals():
        raise SystemExit(3)


def test_an_interruption_is_known_behind_what_a_library_makes_of_it():
    interruption = Interruption(None)
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError("the kernel was stopped") from None
    except RuntimeError as error:
        assert interruption.has_caused(error)
    assert not interruption.has_caused(RuntimeError("of its own"))
    assert interruption._first_signal is FirstSignal.STOPS_NOW


@pytest.mark.parametrize("jump", [timedelta(hours=-2), timedelta(hours=2)])
def test_a_clock_that_jumps_makes_no_run_end_before_it_began(monkeypatch, jump):
    class Clock(datetime):
        offset = timedelta()

        @classmethod
        def now(cls, tz=None):  # pyrefly: ignore[bad-override]  # a datetime is enough
            return datetime.now(tz) + cls.offset

    monkeypatch.setattr("trainlab.training.timing.datetime", Clock)
    elapsed = Elapsed()
    elapsed.begin()
    Clock.offset = jump
    assert datetime.fromisoformat(elapsed.finished) >= datetime.fromisoformat(elapsed.started)
    assert elapsed.seconds < 1


def test_a_resumed_run_tells_the_time_and_speed_of_all_its_attempts(run, folder, monkeypatch):
    step, waited = Classifier.training_step, []

    def slow(self, batch, batch_idx):
        if self.global_step < 4:
            waited.append(time.sleep(0.15))
        if self.global_step == 5:
            next(c for c in self.trainer.callbacks if isinstance(c, Interruption)).requested = True
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", slow)
    with pytest.raises(Interrupted):
        run(*SHORT)
    first = folder(*SHORT).result()
    monkeypatch.undo()
    second, _ = run(*SHORT)
    assert first.seconds > 0.6 and second.seconds > first.seconds
    # 4 of 16 steps waited: 0.6 s at least for 16 × 32 images, whatever the rest takes
    assert first.samples_per_second < 6 * 32 / 0.6 and second.samples_per_second < 16 * 32 / 0.6


def test_every_file_of_a_run_honours_the_umask(run, tmp_path):
    """Two users of one folder: with umask 002 a group may write all of it."""
    before = os.umask(0o002)
    get_umask.cache_clear()  # fsspec, which writes the checkpoints, looks once a process
    try:
        cache = tmp_path / "cache"
        run("checkpoint=both", "signals=2", "logger=csv", f"paths.cache={cache}", *SHORT[:1])
        _in_a_child(lambda: process_main._detach([tmp_path / "config.yaml"]))
    finally:
        os.umask(before)
        get_umask.cache_clear()
    private = [
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if not path.is_symlink() and not stat.S_IMODE(path.stat().st_mode) & stat.S_IWGRP
    ]
    assert private == []
    assert (tmp_path / process_main.LOG_FILE).exists()


def _in_a_child(call) -> None:
    """A fork, since it changes the process for good."""
    child = os.fork()
    if not child:
        try:
            call()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_utc_is_what_records_are_in():
    assert datetime.fromisoformat(Elapsed().started).tzinfo == UTC
