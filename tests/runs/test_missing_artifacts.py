"""What does not decide which run it is can still be missing: said, with how to get it."""

import pytest

from trainlab.runs.run_folder import missing_artifacts, rerun_hint


@pytest.mark.parametrize(
    ("signals", "checkpoint", "kept", "missing"),
    [
        (False, "none", [], []),
        (True, "none", [], ["signals"]),
        (12, "last", ["signals.parquet"], ["last.ckpt"]),
        (True, "last", ["signals.parquet", "checkpoints/last.ckpt"], []),
        (True, "best", ["signals.jsonl", "checkpoints/last.ckpt"], ["best.ckpt"]),
        (False, "both", [], ["last.ckpt", "best.ckpt"]),
    ],
)
def test_what_a_run_lacks(settings, tmp_path, signals, checkpoint, kept, missing):
    for name in kept:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert missing_artifacts(settings().replace(signals=signals, checkpoint=checkpoint), tmp_path) == missing
    said = rerun_hint(missing)
    assert "sweep.rerun=true" in said and all(name in said for name in missing)
