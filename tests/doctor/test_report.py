"""What was found, as text, JSON, HTML, a truth value and an error."""

import json

import pytest

from trainlab.diagnosis.known_causes import CAUSES, Finding
from trainlab.doctor.report import CheckReport, FaultsFoundError
from trainlab.errors import RequestError

FOUND = CheckReport(
    (
        Finding("softmax_before_loss", "rows sum to 1", {"share": 1.0}, "6 (Softmax)"),
        Finding("no_trainable_gradient", "all 3 layers are frozen <b>"),
    ),
    ("BatchNorm was not looked at",),
)


def test_it_is_true_where_something_was_found():
    assert FOUND and len(FOUND) == 2
    assert FOUND.causes == ("softmax_before_loss", "no_trainable_gradient")
    assert not CheckReport() and not CheckReport(notes=("a fact",))
    assert str(CheckReport()) == "one step: nothing wrong found"


def test_text_says_cause_layer_evidence_and_remedy():
    text = str(FOUND)
    assert text.splitlines()[0] == "one step: 2 findings"
    assert "1. softmax before loss at 6 (Softmax)" in text and "   rows sum to 1" in text
    for name in FOUND.causes:
        assert all(line in text for line in CAUSES[name].code.splitlines())
    assert text.splitlines()[-1] == "note: BatchNorm was not looked at"


def test_json_holds_the_same():
    read = json.loads(FOUND.json())
    assert [row["cause"] for row in read["findings"]] == list(FOUND.causes)
    assert read["findings"][0]["numbers"] == {"share": 1.0}
    assert read["findings"][1]["code"] == CAUSES["no_trainable_gradient"].code
    assert read["notes"] == list(FOUND.notes)


def test_html_is_escaped():
    page = FOUND.html()
    assert page == FOUND._repr_html_()
    assert "&lt;b&gt;" in page and page.count("<tr>") == 3


def test_raising_names_every_finding_in_one_line():
    with pytest.raises(FaultsFoundError, match=r"softmax_before_loss: .*; no_trainable_gradient: ") as caught:
        FOUND.raise_if_any()
    assert isinstance(caught.value, RequestError) and "\n" not in str(caught.value)
    assert caught.value.report is FOUND
    assert CheckReport().raise_if_any() == CheckReport()
