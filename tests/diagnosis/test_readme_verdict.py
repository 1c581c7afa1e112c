"""The README's second command, at its full length: what is said of the half that does not learn is true."""

import json
import re

import pytest

pytestmark = pytest.mark.slow


def test_sigmoid_on_digits_is_told_how_many_steps_it_takes_and_learns_with_them(call_command, tmp_path):
    runs = tmp_path / "runs"
    setting = ("activation=sigmoid", "init=kaiming", "logger=none", "trainer.threads=1")
    place = (f"paths.runs={runs}", f"paths.cache={tmp_path / 'cache'}")
    code, out, _ = call_command("train", *setting, *place)
    assert code == 0 and "labels" not in out
    (found,) = runs.glob("*/result.json")
    verdict = json.loads(found.read_text())["verdict"]
    assert verdict["learned"] is False and verdict["cause"] in ("too_few_steps", "not_known")
    assert verdict["reference"]["accuracy"] > 0.9, "a linear model reads these digits"
    assert re.fullmatch(r"trainer.max_epochs=\d+", verdict["remedy"]), verdict["remedy"]
    code, out, _ = call_command("train", *setting, verdict["remedy"], *place)
    assert code == 0 and re.search(r"learned: (yes|barely|poorly)", out)
