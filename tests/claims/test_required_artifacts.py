"""A finished run is enough for a claim where it has kept all that the claim asks for."""

from types import SimpleNamespace
from typing import cast

import pytest

from trainlab.claims.execution import has_required_artifacts
from trainlab.claims.registry import ClaimFile
from trainlab.claims.sources import BaseSource, ShiftSource, SignalSource
from trainlab.claims.spec import Claim
from trainlab.runs import Result, RunFolder

SHIFT, SIGNAL = ShiftSource.model_construct(), SignalSource.model_construct()
LAST, SIGNALS = "checkpoints/last.ckpt", "signals.parquet"


def entry_of(sources: list[BaseSource], figure: str) -> ClaimFile:
    """Of a claim, only what it asks for."""
    expectation = SimpleNamespace(sources=lambda: sources)
    drawn = SimpleNamespace(kind=figure, sources=list)
    claim = Claim.model_construct(expectations=[expectation], figure=drawn, pictures=[])
    return cast(ClaimFile, SimpleNamespace(claim=claim))


@pytest.mark.parametrize(
    ("sources", "figure", "needed"),
    [
        ([], "bars", []),
        ([SHIFT], "bars", [LAST]),
        ([SIGNAL], "bars", [SIGNALS]),
        ([], "heat_map", [SIGNALS]),
        ([SHIFT, SIGNAL], "bars", [LAST, SIGNALS]),
        ([SHIFT], "depth", [LAST, SIGNALS]),
    ],
)
@pytest.mark.parametrize("kept", [[], [LAST], [SIGNALS], [LAST, SIGNALS]])
def test_a_run_is_enough_with_all_that_is_asked_for(tmp_path, sources, figure, needed, kept):
    entry = entry_of(sources, figure)
    folder = RunFolder(tmp_path / "r").create()
    folder.finish(Result(run_id="r", status="finished"))
    for name in kept:
        path = folder.path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert has_required_artifacts(entry, folder.path) == (set(needed) <= set(kept))


def test_a_diverged_run_needs_no_weights(tmp_path):
    entry = entry_of([SHIFT, SIGNAL], "bars")
    folder = RunFolder(tmp_path / "r").create()
    folder.finish(Result(run_id="r", status="diverged"))
    assert not has_required_artifacts(entry, folder.path)
    (folder.path / SIGNALS).touch()
    assert has_required_artifacts(entry, folder.path)
