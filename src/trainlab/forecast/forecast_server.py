"""`python -m trainlab.forecast.forecast_server`: a line [settings, trusted sections] in, a forecast out.

A process of its own for whoever asks often and must not wait for the pass before: torch is imported once. One
thread computes, so that runs that train on the same machine are not slowed down, nor the forecast by them.
"""

import json
import sys
from collections.abc import Callable
from typing import TextIO

from trainlab.errors import error_message
from trainlab.forecast.answer import Forecast
from trainlab.settings import Settings, settings_from_json


def serve(questions: TextIO, answers: TextIO) -> None:
    """Answers each question: {"forecast": …} as `Forecast.to_dict` has it, or {"error": one line}."""
    import torch

    from trainlab.forecast.run_forecast import forecast_run

    torch.set_num_threads(1)
    for line in questions:
        print(json.dumps(_answer(line, forecast_run)), file=answers, flush=True)


def _answer(line: str, forecast_run: Callable[[Settings], Forecast]) -> dict[str, object]:
    try:
        text, trusted = json.loads(line)
        settings = settings_from_json(text, trusted)
        settings = settings.replace(trainer=settings.trainer.replace(threads=1))
        return {"forecast": forecast_run(settings).to_dict()}
    except Exception as error:  # whatever it was is the answer, and the next question is answered too
        return {"error": error_message(error)}


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not mix with the answers
    serve(sys.stdin, out)
