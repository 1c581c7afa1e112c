"""Forecasts by a process beside the server: the answer of `preflight`, and no question ends it."""

import io
import json

import pytest

from trainlab.app.forecasts import Forecasts
from trainlab.errors import RequestError
from trainlab.training.forecaster import serve
from trainlab.training.preflight import forecast_run


def test_it_answers_as_preflight_does_and_goes_on_after_an_error(settings):
    good = settings("trainer.max_steps=100", "trainer.max_epochs=null")
    questions = io.StringIO("\n".join(["{}", "no json", json.dumps(good)]) + "\n")
    answers = io.StringIO()
    serve(questions, answers)
    first, second, third = map(json.loads, answers.getvalue().splitlines())
    assert "error" in first and "error" in second
    assert third["forecast"]["learns"] == pytest.approx(forecast_run(good).learns, abs=1e-3)


@pytest.mark.slow  # imports torch twice
def test_the_queue_keeps_answers_drops_what_is_out_of_date_and_survives_the_process(settings):
    forecasts = Forecasts()
    try:
        one, two, three = (settings(f"seed={n}") for n in range(3))
        running = forecasts.ask(one)
        stale = forecasts.ask(two)
        newest = forecasts.ask(three, instead_of=stale)
        assert stale.cancelled() and newest.result(120)["layers"]
        assert forecasts.ask(one) is running and running.result(120)["learns"] >= 0
        with pytest.raises(RequestError, match="no_such_folder"):
            forecasts.ask({**two, "data": {**two["data"], "source": {"_target_": "no_such_folder"}}}).result(
                120
            )
        forecasts._process.kill()
        forecasts._process.wait()
        assert forecasts.ask(two).result(120)["learns"] >= 0, "dropped before, asked again, by a new process"
    finally:
        forecasts.close()
