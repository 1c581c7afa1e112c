"""What a claim's file may say, and the errors where it says something else."""

import copy

import pytest
from tiny import ACCURACY, claim, put

from trainlab.claims import registry as claims
from trainlab.claims.registry import parse_claim
from trainlab.errors import RequestError


def fault_of(content) -> str:
    with pytest.raises(RequestError) as error:
        parse_claim(content, "mine")
    return str(error.value)


def with_expectation(**changes):
    expectation = {"kind": "more", "says": "so", "more": "A", "than": "B", "of": ACCURACY, **changes}
    return claim(expectations=[{k: v for k, v in expectation.items() if v is not None}])


FAULTS = {
    "a missing part": (
        {k: v for k, v in claim().items() if k != "statement"},
        "claim mine: statement is missing",
    ),
    "an unknown key": (claim(statment="x"), "unknown key 'statment': did you mean 'statement'?"),
    "an unknown arm": (
        with_expectation(than="C"),
        "unknown arm in expectation 1 'C': available: A, B",
    ),
    "an unknown kind": (with_expectation(kind="mor"), "unknown kind 'mor': did you mean 'more'? available:"),
    "no kind": (with_expectation(kind=None), "expectations.1: kind is missing"),
    "an unknown metric": (
        with_expectation(of={"metric": "test/ac"}),
        "unknown metric 'test/ac': did you mean 'test/acc'?",
    ),
    "an unknown signal": (
        with_expectation(of={"signal": "weight_grad_nrm", "layer": "first"}),
        "unknown signal 'weight_grad_nrm': did you mean 'weight_grad_norm'?",
    ),
    "an unknown shift": (
        with_expectation(of={"shift": {"brightnes": 3}}),
        "unknown shift 'brightnes': did you mean 'brightness'?",
    ),
    "a shift without amount": (
        with_expectation(of={"shift": {"contrast": "much"}}),
        "contrast: expected a number",
    ),
    "statistics by halves": (
        with_expectation(of={"shift": {"statistics": {"mean": 0.1}}}),
        "statistics: expected {mean: …, std: …}",
    ),
    "no source": (
        with_expectation(of={"accuracy": 1}),
        "expectations.1.of: expected a source: a mapping with one of metric, signal, shift, probe, steps_to,",
    ),
    "a word for a number": (with_expectation(by="much"), "by='much': expected a valid number"),
    "a fault inside a related source": (
        with_expectation(of={"metric": "test/acc", "minus": {"metric": "tset/acc"}}),
        "did you mean 'test/acc'?",
    ),
    "too few seeds": (
        claim(profiles={
            "quick": {"overrides": [], "scale": "s", "seeds": {"first": 2, "most": 5}},
            "gpu": {"overrides": [], "scale": "s"},
        }),
        "profiles.quick.seeds.first=2: expected greater than or equal to 3",
    ),
    "fewer seeds at most than at first": (
        claim(profiles={
            "quick": {"overrides": [], "scale": "s", "seeds": {"first": 8, "most": 6}},
            "gpu": {"overrides": [], "scale": "s"},
        }),
        "most=6: expected at least first=8",
    ),
    "more seeds than were simulated": (
        claim(profiles={"quick": {"overrides": [], "scale": "s", "seeds": {"first": 3, "most": 25}}}),
        "profiles.quick.seeds.most=25: expected less than or equal to 24",
    ),
    "a budget without a scale": (
        claim(profiles={"quick": {"overrides": []}}), "profiles.quick: scale is missing"
    ),
    "no primary": (with_expectation(primary=False), "expectations: 0 have `primary: true`, expected exactly"),
    "two primaries": (
        claim(expectations=[{**claim()["expectations"][0], "primary": True}] * 2),
        "expectations: 2 have `primary: true`, expected exactly one",
    ),
    "a fact as primary": (
        claim(expectations=[{
            "kind": "exact", "primary": True, "says": "s", "arm": "A", "of": {"anatomy": "parameters"},
            "equals": 1,
        }]),
        "exact: a fact is counted and cannot be primary",
    ),
    "expected shares of another arm": (
        claim(expectations=[
            {"kind": "learns", "says": "s", "arm": "A", "unlike": "B", "expects": {"arm": 1.0}}
        ]),
        "expects: got arm, expected arm, unlike",
    ),
    "an expected effect without spread": (
        with_expectation(expects={"mean": 0.1, "sd": 0.0}), "expects.sd=0.0: expected greater than 0"
    ),
    "candidates and a ladder": (
        claim(tune={"candidates": [["a=1"], ["a=2"]], "setting": "optimizer.lr", "values": [0.1, 0.2, 0.3]}),
        "expected either `candidates`, or `setting` with its `values`",
    ),
    "a ladder that goes down": (
        claim(tune={"setting": "optimizer.lr", "values": [0.1, 0.01, 0.3]}),
        "expected a ladder, each value above the one before",
    ),
    "a seed that tuning tries": (
        claim(tune={"candidates": [["depth=1"], ["depth=2", "+data.split_seed=3"]]}),
        "tune: data.split_seed is paired over arms: not for a claim to set",
    ),
    "one split for all seeds": (
        claim(common=["data.split_seed=0"]), "common: data.split_seed is paired over arms: not for a claim"
    ),
    "a ladder of folders": (
        claim(tune={"setting": "paths.runs", "values": [1.0, 2.0, 3.0]}),
        "paths.runs is not for a claim to set: expected settings of the run itself",
    ),
    "a ladder of seeds": (
        claim(tune={"setting": "seed", "values": [1.0, 2.0, 3.0]}), "tune: seed is paired over arms"
    ),
    "a lesson by halves": (claim(lesson={"explanation": "so"}), "lesson.prediction is missing"),
    "a bound on both sides": (
        claim(expectations=[
            {"kind": "bound", "says": "s", "arm": a, "of": ACCURACY, "at_least": 0.1, "at_most": 0.2}
            for a in "AB"
        ]),
        "expected one of at_least and at_most",
    ),
    "an exact value of runs": (
        claim(expectations=[
            {"kind": "exact", "says": "s", "arm": a, "of": ACCURACY, "equals": 1} for a in "AB"
        ]),
        "exact: expected a source of anatomy, theory, fact",
    ),
    "an arm that is not used": (
        claim(
            arms={"A": [], "B": [], "C": []},
            figure={"kind": "arms", "title": "t", "of": ACCURACY, "arms": ["A", "B"]},
        ),
        "arm 'C' is in no expectation and no figure",
    ),
    "no mapping": (["a"], "claim mine: expected a mapping, got list"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_in_one_line_with_its_place_and_the_closest_name(name):
    content, expected = FAULTS[name]
    message = fault_of(content)
    assert expected in message
    assert "\n" not in message and "pydantic" not in message and "https" not in message


def test_all_faults_are_reported_at_once():
    message = fault_of(claim(order="first", differs=""))
    assert "order='first'" in message and "differs=''" in message


def test_what_a_claim_trains_is_what_expectations_on_runs_and_the_picture_look_at():
    content = claim(arms={"A": [], "B": [], "counted": []})
    content["figure"]["arms"] = ["A"]
    content["expectations"].append(
        {"kind": "exact", "says": "s", "arm": "counted", "of": {"anatomy": "parameters"}, "equals": 1}
    )
    assert parse_claim(content, "mine").trained_arms == ["A", "B"]
    del content["figure"]["arms"]  # all of them
    assert parse_claim(content, "mine").trained_arms == ["A", "B", "counted"]


def test_related_sources_are_found_at_any_depth():
    of = {"metric": "train/acc", "minus": {"metric": "test/acc", "over": {"shift": {"brightness": 1}}}}
    sources = parse_claim(with_expectation(of=of), "mine").all_sources
    assert [type(source).__name__ for source in sources] == [
        "MetricSource", "MetricSource", "ShiftSource", "MetricSource"
    ]  # fmt: skip


def test_claims_are_found_in_the_order_of_the_course(tmp_path):
    put(tmp_path, "late", claim(order=2))
    put(tmp_path, "early", claim(order=1))
    assert [entry.name for entry in claims.load_claims(tmp_path)] == ["early", "late"]


def test_an_unknown_claim_is_refused_with_the_closest_name(tmp_path):
    put(tmp_path, "parameters", claim())
    with pytest.raises(RequestError, match="unknown claim 'paramters': did you mean 'parameters'"):
        claims.load_claims(tmp_path, ["paramters"])


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    put(tmp_path, "mine", claim()).write_text("a: [", encoding="utf-8")
    with pytest.raises(RequestError, match="claim mine: not YAML"):
        claims.load_claims(tmp_path)


def test_a_folder_without_claims_is_an_error(tmp_path):
    with pytest.raises(RequestError, match="no claims in"):
        claims.load_claims(tmp_path)


def test_reading_leaves_the_content_as_it_was():
    content = claim()
    before = copy.deepcopy(content)
    parse_claim(content, "mine")
    assert content == before


def test_pictures_are_names_or_figures_of_the_runs():
    curves = {"kind": "curves", "title": "Both", "metric": ["train/acc", "val/acc"], "arms": ["A"]}
    parsed = parse_claim(claim(pictures=["kernel_on_a_7", curves]), "mine")
    assert list(parsed.picture_files()) == ["kernel_on_a_7.svg", "figure-3.svg"]
    assert [figure.title for figure in parsed.figures] == ["A and B", "Both"]


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        ("kernel_on_7", "pictures.1: unknown picture 'kernel_on_7': did you mean 'kernel_on_a_7'?"),
        ({"kind": "curves"}, "pictures.1.title is missing"),
        ({"kind": "curves", "title": "t", "arms": ["C"]}, "unknown arm in picture 1 'C'"),
        (3, "pictures.1=3: expected"),
    ],
)
def test_a_picture_that_cannot_be_shown_is_named(picture, fault):
    with pytest.raises(RequestError) as told:
        parse_claim(claim(pictures=[picture]), "mine")
    assert fault in str(told.value)
