"""A claim's record that others have written: shown as it is, or one line that says what is wrong."""

import copy
import json
import os
from pathlib import Path

import pytest
from tiny import claim, put

from trainlab.claims import claim_page, claim_record, collection_pages, html_report
from trainlab.claims import registry as claims
from trainlab.errors import RequestError
from trainlab.wandb_sync.claims_report import report_sections

PUBLISHED = Path(__file__).parents[2] / "experiments"
TUNED, GRID = (Path(__file__).with_name(f"{kind}_record.json") for kind in ("tuned", "grid"))
"""Records with one arm; that of the grid is of an earlier version."""
OTHERS = (None, -7, 1e308, float("nan"), "\x1b[2J", [], {}, [None], {"x": "y"})


def paths(value, at=()):
    """Of every value in a record, the way to it; of a list the first alone."""
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*at, key))
    elif isinstance(value, list) and value:
        yield from paths(value[0], (*at, 0))


def changed(content, at, value, gone=False):
    content = copy.deepcopy(content)
    if not at:
        return value
    inner = content
    for key in at[:-1]:
        inner = inner[key]
    if gone:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return content


def shown(entries) -> None:
    """All that shows a record."""
    found = collection_pages.read_records(entries)
    for content in found.values():
        claim_page.claim_page(content, has_figure=True)
    html_report.report_html(entries)
    if found:
        report_sections(entries)
        collection_pages.provenance_paragraph(found.values())


def small(path: Path) -> dict:
    """A record with as little as it can have of everything."""
    return json.loads(path.read_text(encoding="utf-8"))


def test_published_records_are_read():
    entries = claims.load_claims(PUBLISHED)
    assert len(collection_pages.read_records(entries)) == len(
        [e for e in entries if (e.folder / "result.json").exists()]
    )


def test_the_small_records_have_what_they_stand_for():
    assert small(TUNED)["tuned"]
    assert small(GRID)["grid"]


@pytest.mark.parametrize("source", [TUNED, GRID], ids=["tuned", "grid"])
def test_whatever_stands_in_a_record_it_is_shown_or_refused_in_one_line(tmp_path, source, monkeypatch):
    monkeypatch.setattr(html_report, "forest_plot_svg", lambda found: "")  # a plot a time takes long
    put(tmp_path, "mine", claim())
    content, file = small(source), tmp_path / "mine" / "result.json"
    refused, entries = 0, claims.load_claims(tmp_path)
    for at in paths(content):
        for value, gone in [(None, True), *((other, False) for other in OTHERS)]:
            file.write_text(json.dumps(changed(content, at, value, gone)), encoding="utf-8")
            try:
                shown(entries)
            except RequestError as error:
                refused += 1
                assert str(file) in str(error) and "\n" not in str(error) and "\x1b" not in str(error)
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"null", b"[" * 100_000, b"\xff", b'{"name": 1', b"9" * 5000])
def test_what_is_no_record_is_named(tmp_path, content):
    put(tmp_path, "mine", claim())
    (tmp_path / "mine" / "result.json").write_bytes(content)
    with pytest.raises(RequestError, match=r"mine/result\.json .*run the claim again"):
        claim_record.read_record(tmp_path / "mine")


@pytest.mark.skipif(os.name != "posix", reason="pipes with a name")
def test_a_pipe_in_its_place_is_no_wait(tmp_path):
    put(tmp_path, "mine", claim())
    os.mkfifo(tmp_path / "mine" / "result.json")
    with pytest.raises(RequestError, match="no regular file"):
        claim_record.read_record(tmp_path / "mine")


def test_a_grid_of_which_nothing_was_run_is_recorded_without_cells(tmp_path):
    """`not_testable` runs nothing: the record of such a claim could not be written."""
    nothing = small(GRID) | {"arms": [], "overrides": {}}
    (tmp_path / "result.json").write_text(json.dumps(nothing), encoding="utf-8")
    found = claim_record.read_record(tmp_path)
    assert found is not None and found.grid is not None
    assert "| depth" not in claim_page.claim_page(found, has_figure=False)
    with pytest.raises(RequestError, match="which is a cell of its grid"):
        absent = small(GRID) | {"arms": [small(GRID)["arms"][0] | {"arm": "other"}]}
        (tmp_path / "result.json").write_text(json.dumps(absent), encoding="utf-8")
        claim_record.read_record(tmp_path)
