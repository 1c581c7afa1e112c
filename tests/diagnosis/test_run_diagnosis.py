"""How well a run learned, by which rules, and what is said where today's rules say something else."""

import json

import pytest

from trainlab.claims import claim_tables
from trainlab.claims.claim_record import ArmRecord
from trainlab.diagnosis import presentation
from trainlab.diagnosis.evidence import ReferenceScores
from trainlab.diagnosis.run_diagnosis import diagnose_run, load_evidence
from trainlab.diagnosis.verdict import RULES_VERSION, is_cause_valid, learning_level
from trainlab.runs import RunFolder


def confusion(accuracy: float, images: int = 1000, classes: int = 10) -> list[list[int]]:
    """So many images of each class; the wrong answers spread over the other classes."""
    each = images // classes
    right = round(accuracy * each)
    rows = [[(each - right) // (classes - 1)] * classes for _ in range(classes)]
    for k, row in enumerate(rows):
        row[k] = right
        row[(k + 1) % classes] += each - sum(row)
    return rows


LINEAR = 0.85


@pytest.mark.parametrize(
    ("accuracy", "linear", "expected"),
    [
        (0.10, LINEAR, "not"), (0.12, None, "not"), (0.26, LINEAR, "barely"), (0.46, LINEAR, "barely"),
        (0.60, LINEAR, "poorly"), (0.85, LINEAR, "well"), (0.98, LINEAR, "well"),
        (0.26, None, "barely"), (0.60, None, None), (0.98, None, None),
        (0.30, 0.11, "barely"), (0.35, 0.31, "well"),
    ],
)  # fmt: skip
def test_how_well(accuracy, linear, expected):
    assert learning_level(confusion(accuracy), linear) == expected


def edited(folder: RunFolder, **verdict) -> None:
    """The record as another version of the rules would have written it."""
    path = folder.path / "result.json"
    content = json.loads(path.read_text())
    content["verdict"] |= verdict
    path.write_text(json.dumps(content))


def test_the_record_says_by_which_rules_and_against_what(run):
    result, folder = run("init=zeros")
    assert result.verdict.version == RULES_VERSION and result.verdict.level == "not"
    assert result.verdict.reference["accuracy"] > 0.5, "digits are learned by a linear model"
    known = diagnose_run(folder)
    assert not known.differs and known.recorded == folder.result().verdict
    assert known.evidence.reference == ReferenceScores.from_record(result.verdict.reference)


def test_an_older_verdict_stands_beside_todays(run, call_command):
    _, folder = run("init=zeros")
    old = {
        "cause": "labels_unlearnable",
        "layer": None,
        "remedy": None,
        "version": None,
        "level": None,
        "reference": None,
    }
    edited(folder, **old)
    known = diagnose_run(folder)
    assert known.differs and known.recorded_version == 1 and known.today.cause is not None
    assert known.today.cause.cause == "symmetric_weights"
    place = ("--runs", str(folder.path.parent))
    code, out, _ = call_command("explain", folder.run_id, *place)
    out = " ".join(out.split())
    assert code == 0 and "version 1 of the rules: did not learn, labels unlearnable" in out
    assert out.index("labels unlearnable") < out.index("symmetric weights")
    told = json.loads(call_command("explain", folder.run_id, "--json", *place)[1])
    assert told["differs"] and told["version"] == RULES_VERSION
    assert (told["recorded"]["version"], told["recorded"]["cause"]) == (1, "labels_unlearnable")
    code, out, err = call_command("compare", folder.run_id, *place)
    assert code == 0 and "by older rules" in out + err


def test_a_level_alone_that_an_old_record_lacks_is_no_difference(run):
    _, folder = run("init=zeros")
    edited(folder, version=None, level=None)
    assert not diagnose_run(folder).differs


def test_a_run_that_goes_on_is_not_told_that_it_ended(run, call_command):
    result, folder = run("trainer.max_steps=3")
    assert result.verdict.cause == "too_few_steps"
    for name in ("result.json", "confusion.parquet"):
        (folder.path / name).unlink()
    with folder.lock():
        assert load_evidence(folder).is_running and diagnose_run(folder).today.findings == []
        _, out, _ = call_command("explain", folder.run_id, "--runs", str(folder.path.parent))
    assert "still running" in out and "too few" not in out and "ended" not in out
    assert not load_evidence(folder).is_running


def test_levels_and_bounds_in_words(run):
    result, folder = run("trainer.max_steps=3")
    says = presentation.describe_accuracy(diagnose_run(folder).today)
    assert "99% lower bound" in says and "a linear model on pixels" in says and "at least" not in says
    assert "no luck" in says or result.metrics["test/acc"] < 0.101
    assert (
        presentation.describe_outcome(True, "barely") == "barely learned"
        and presentation.describe_outcome(True, None) == "learned"
    )


def test_pages_do_not_repeat_what_older_rules_said_without_evidence():
    causes = {"labels_unlearnable": 1, "collapsed_correlation": 2}
    old = ArmRecord.model_construct(statuses={"finished": 3}, causes=causes)
    assert claim_tables.remarks(old) == "collapsed correlation (2)"
    today = old.model_copy(update={"verdict_version": RULES_VERSION})
    assert claim_tables.remarks(today) == "labels unlearnable (1), collapsed correlation (2)"
    assert is_cause_valid("saturation", None) and not is_cause_valid("labels_unlearnable", 1)
