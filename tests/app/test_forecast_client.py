"""Forecasts by a process beside the server: the answer of `preflight`, and no question ends it."""

import io
import json
import threading

import pytest

from trainlab.app.forecast_client import ForecastClient
from trainlab.errors import RequestError
from trainlab.forecast.forecast_server import serve
from trainlab.forecast.run_forecast import forecast_run


def test_it_answers_as_preflight_does_and_goes_on_after_an_error(settings):
    good = settings("trainer.max_steps=100", "trainer.max_epochs=null")
    questions = io.StringIO(
        "\n".join(["{}", "no json", json.dumps([good.to_json(), good.trusted_sections])]) + "\n"
    )
    answers = io.StringIO()
    serve(questions, answers)
    first, second, third = map(json.loads, answers.getvalue().splitlines())
    assert "error" in first and "error" in second
    assert third["forecast"]["learns"] == pytest.approx(forecast_run(good).learns, abs=1e-3)


@pytest.mark.slow  # imports torch twice
def test_the_queue_keeps_answers_drops_what_is_out_of_date_and_survives_the_process(settings):
    forecasts = ForecastClient()
    try:
        one, two, three = (settings(f"seed={n}") for n in range(3))
        running = forecasts.ask(one)
        stale = forecasts.ask(two)
        newest = forecasts.ask(three, instead_of=stale)
        assert stale.cancelled() and newest.result(120)["layers"]
        assert forecasts.ask(one) is running and running.result(120)["learns"] >= 0
        with pytest.raises(RequestError, match="no_such_folder"):
            source = two.data.source.replace(target="no_such_folder")
            forecasts.ask(two.replace(data=two.data.replace(source=source))).result(120)
        process = forecasts._process
        assert process is not None
        process.kill()
        process.wait()
        assert forecasts.ask(two).result(120)["learns"] >= 0, "dropped before, asked again, by a new process"
    finally:
        forecasts.close()


@pytest.fixture
def slow_answers(monkeypatch):
    """Forecasts whose one process answers only when it is let, with the depth of the settings."""
    let = threading.Event()

    def answer(self, question):
        let.wait(20)
        text, _ = json.loads(question)  # and which sections are the user's own
        return json.loads(text)["depth"]

    monkeypatch.setattr(ForecastClient, "_start", lambda self: None)
    monkeypatch.setattr(ForecastClient, "_answer", answer)
    forecasts = ForecastClient()
    yield forecasts, let
    let.set()
    forecasts.close()


def test_what_another_browser_waits_for_is_not_dropped(slow_answers, settings):
    (forecasts, let), (first, *asked) = slow_answers, [settings(f"depth={depth}") for depth in (1, 2, 3, 4)]
    forecasts.ask(first)
    one, other = forecasts.ask(asked[0]), forecasts.ask(asked[0])
    assert one is other, "asked once for both"
    newer = forecasts.ask(asked[1], instead_of=one)
    assert not other.cancelled(), "the second browser waits for it"
    newest = forecasts.ask(asked[2], instead_of=newer)
    assert newer.cancelled(), "nobody waits for this one"
    let.set()
    assert (other.result(20), newest.result(20)) == (2, 4)


def test_asking_again_for_what_one_waits_for_counts_once(slow_answers, settings):
    forecasts, _ = slow_answers
    first, second, third = (settings(f"depth={depth}") for depth in (1, 2, 3))
    forecasts.ask(first)
    one = forecasts.ask(second)
    assert forecasts.ask(second, instead_of=one) is one
    forecasts.ask(third, instead_of=one)
    assert one.cancelled()
