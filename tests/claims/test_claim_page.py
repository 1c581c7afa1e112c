"""A lesson's page: what a student reads first, and what the result rests on; every kind of record has one."""

import itertools
import statistics

import pytest
from tiny import ACCURACY, claim, put

from trainlab.claims import claim_page, collection_pages, html_report, registry
from trainlab.claims.claim_figure import common_label
from trainlab.claims.claim_record import ClaimRecord, write_record
from trainlab.claims.evidence_text import format_evidence, verdict_sentence
from trainlab.claims.judge import HOLDS, NOT_TESTABLE, NOT_TESTED, REFUTED, SUPPORTED, UNDECIDED, PageVerdict
from trainlab.claims.value_text import format_fact, format_interval
from trainlab.stats.intervals import Interval, mean_interval

MEAN = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 4}


def finding(**changes):
    return {
        "says": "A beats B by 2 points", "kind": "more", "primary": True, "verdict": SUPPORTED, "e_for": 57.0,
        "e_against": 0.02, "saw": "6.40 points (4.10 … 8.70)", "estimate": 0.064, "low": 0.041, "high": 0.087,
        "bound": 0.02, "unit": "points", "n": 4, **changes,
    }  # fmt: skip


FACT = finding(
    says="A has 12 parameters", kind="exact", primary=False, verdict=HOLDS, e_for=None, e_against=None,
    saw="12", estimate=None, low=None, high=None, bound=None, unit="", n=0,
)  # fmt: skip
SECOND = finding(
    says="B learns", kind="learns", primary=False, verdict=UNDECIDED, e_for=3.2, e_against=0.4,
    saw="B: 3 of 4 learned", estimate=None, low=None, high=None, bound=None, unit="",
)  # fmt: skip
LESSON = {
    "explanation": "A is an arm: one setting of the network.", "prediction": "Which is better?",
    "answer": "A, by six points.", "why": "Theory says so.", "would_change": "More images.",
}  # fmt: skip


def record(**changes) -> ClaimRecord:
    content = {
        "name": "mine", "order": 1, "statement": "A beats B.", "question": "Does A beat B?",
        "source": "a test",
        "lesson": LESSON, "profile": "quick", "scale": "Tiny.", "differs": "In size.", "try": "C.",
        "verdict": SUPPORTED, "e_for": 57.0, "e_against": 0.02, "findings": [finding(), FACT, SECOND],
        "arms": [
            {"arm": arm, "n": 4, "learned": 4, "statuses": {"finished": 4}, "parameters": 12, "runs": {},
             "causes": {}, "test/acc": MEAN, "train/acc": MEAN, "test/loss": MEAN}
            for arm in ("A", "B")
        ],
        "overrides": {"A": ["depth=1"], "B": ["depth=2"]}, "shared": ["data=digits", "width=4"],
        "tuned": {"A": {"tried": [{"overrides": ["optimizer.lr=0.1"], "val/acc": 0.5}], "seeds": 3,
                        "chosen": ["optimizer.lr=0.1"], "edge": "low"}},
        "seeds": [0, 1, 2, 3], "run_seconds": 60.0, "commits": ["abc"], "machine": "cpu", "data": ["digits"],
        **changes,
    }  # fmt: skip
    return ClaimRecord.model_validate(content)


IN_THIS_ORDER = (
    "# Does A beat B?", "A is an arm", "Which is better?", "<details><summary>The answer",
    "A, by six points.",
    "trainlab claims run mine", "figure.svg", "*A picture.*",
    "**Supported**: A beats B by 2 points. Seen over 4 seeds: 6.40 points (4.10 … 8.70); tested against 2.00 "
    "points; evidence 57 : 1 for it.", "On the page of all claims of the course: not enough evidence.",
    "were the sentence false", "**Facts**", "A has 12 parameters", "**Beside it**", "B learns",
    "Theory says so.", "More images.", "**Try it yourself.** C.", "**At another scale:**", "| arm |",
    "**Scale.** Tiny.", "In size.", "What was tuned", "not tuned", "Settings", "depth=2", "Commit abc",
)  # fmt: skip


def test_a_lesson_is_read_in_this_order():
    full = record(
        profile="full", shared=["data=digits", "width=64"], verdict=REFUTED, e_for=0.01, e_against=80.0
    )
    page = claim_page.claim_page(
        record(pictures={"kernel_on_a_7.svg": "A picture"}),
        True,
        PageVerdict(UNDECIDED, 57.0),
        {"full": full},
    )
    places = [page.find(words) for words in IN_THIS_ORDER]
    assert -1 not in places, IN_THIS_ORDER[places.index(-1)]
    assert all(first < then for first, then in itertools.pairwise(places))
    assert page.count("<details>") == page.count("</details>") == 3
    assert "| full | refuted |" in page
    assert "What differs: quick has `width=4`, full `width=64`." in page


def test_the_report_has_the_same_in_the_same_order(tmp_path, monkeypatch):
    monkeypatch.setattr(html_report, "forest_plot_svg", lambda found: "")
    put(tmp_path, "mine", claim())
    write_record(tmp_path / "mine", record())
    write_record(tmp_path / "mine", record(profile="full", verdict=REFUTED))
    page = html_report.report_html(registry.load_claims(tmp_path)).partition("<section>")[2]
    words = ("A is an arm", "<details><summary>The answer", "evidence 57 : 1", "<td>A has 12 parameters</td>",
             "Theory says so", "At another scale", "<td>full</td>", "Commit abc")  # fmt: skip
    places = [page.find(word) for word in words]
    assert -1 not in places and places == sorted(places)
    assert "&lt;details" not in page


def test_one_page_of_all_refreshes_that_of_each(tmp_path):
    put(tmp_path, "mine", claim())
    put(tmp_path, "other", claim(order=2))
    write_record(tmp_path / "mine", record())
    collection_pages.write_collection_pages(tmp_path, registry.load_claims(tmp_path))
    assert "evidence 57 : 1 for it. On the page" in (tmp_path / "mine" / "README.md").read_text(
        encoding="utf-8"
    )
    assert not (tmp_path / "other" / "README.md").exists()
    course = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "**Not run yet.**" in course and "trainlab claims run other" in course
    table = collection_pages.verdict_table(registry.load_claims(tmp_path), prefix="")
    assert (
        "| [`mine`](mine/README.md) | Does A beat B? | supported | supported | 57 : 1 | 4 | 1.0 min |"
        in table
    )


def test_words_that_were_mended_need_no_new_run_and_other_expectations_do(tmp_path):
    expected = [
        {
            "kind": "more",
            "says": "A beats B by 2 points",
            "more": "A",
            "than": "B",
            "of": ACCURACY,
            "by": 0.02,
        }
    ]
    lesson = {**LESSON, "answer": "A, by little."}
    for says, answer in (("A beats B by 2 points", "A, by little."), ("A beats B", "A, by six points.")):
        put(tmp_path, "mine", claim(lesson=lesson, expectations=[{**expected[0], "says": says}]))
        write_record(tmp_path / "mine", record(findings=[finding()]))
        shown = collection_pages.read_records(registry.load_claims(tmp_path))["mine"]
        assert shown.lesson is not None and shown.lesson.answer == answer
        assert shown.expectations == record(findings=[finding()]).expectations


def test_the_verdict_of_the_full_profile_stands_beside_the_quick_one_on_every_page(tmp_path, monkeypatch):
    put(tmp_path, "mine", claim())
    write_record(tmp_path / "mine", record())
    larger = record(
        profile="full", scale="Whole.", shared=["data=digits", "width=64"], verdict=REFUTED, e_for=0.01,
        e_against=80.0,
    )  # fmt: skip
    write_record(tmp_path / "mine", larger)
    entries = registry.load_claims(tmp_path)
    collection_pages.write_collection_pages(tmp_path, entries)
    page = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    for line in ("| quick | supported | 6.40 points", "| full | refuted | 6.40 points", "| Whole. |",
                 "What differs: quick has `width=4`, full `width=64`."):  # fmt: skip
        assert line in page
    course = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "With the profile full: refuted." in course
    assert "| supported; full: refuted |" in collection_pages.verdict_table(entries)
    monkeypatch.setattr(html_report, "forest_plot_svg", lambda found: "")
    assert "supported</span>; full: refuted</td>" in html_report.report_html(entries)


def test_rows_of_several_sources_share_an_axis_that_is_true_of_all():
    """It was that of the first row: "accuracy of a linear classifier on input", for every layer."""
    rows = {"pixels": {"probe": {"layer": "input"}}, "last": {"probe": {"layer": "last"}}}
    figure = {"kind": "sources", "title": "t", "arms": ["A"], "rows": rows}
    sources = list(registry.parse_claim(claim(figure=figure), "c").figure.rows.values())
    assert common_label(sources) == "accuracy of a linear classifier"
    assert common_label(sources[:1]) == "accuracy of a linear classifier on input"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"findings": [FACT], "verdict": HOLDS, "e_for": None, "e_against": None},
         "**Holds** (counted; chance has no part in it)."),
        ({"verdict": "not testable at this budget", "reason": "500 of 2,000,000 steps", "findings": [SECOND],
          "e_for": 1.0, "e_against": 1.0},
         "**Not testable at this budget**: 500 of 2,000,000 steps."),
        ({"verdict": UNDECIDED, "reason": "A is not tuned", "e_for": 57.0},
         "**Not enough evidence**: A beats B by 2 points. Seen over 4 seeds: 6.40 points (4.10 … 8.70); "
         "tested against 2.00 points; evidence 57 : 1 for it. No verdict, because A is not tuned."),
        ({"verdict": REFUTED, "e_for": 0.01, "e_against": 33.0},
         "**Refuted**: A beats B by 2 points. Seen over 4 seeds: 6.40 points (4.10 … 8.70); tested against "
         "2.00 points; evidence 33 : 1 against it."),
        ({"verdict": UNDECIDED, "e_for": 2.0, "e_against": 0.4, "findings": [
            finding(verdict=UNDECIDED, n=16, sd=0.012)]},
         "**Not enough evidence**: A beats B by 2 points. Seen over 16 seeds: 6.40 points (4.10 … 8.70); "
         "tested against 2.00 points; evidence 2.0 : 1 for it. Its seeds differ by a standard deviation of "
         "1.20 points: so many would show a difference of 1.22 points beyond the bound in four experiments "
         "of five, and a smaller one less often."),
        ({"verdict": UNDECIDED, "reason": "A: 1 of 4 learned", "e_for": 1.0, "e_against": 1.0, "findings": [
            finding(verdict=UNDECIDED, reason="A: 1 of 4 learned", saw="A: 1 of 4 learned", estimate=None,
                    low=None, high=None)]},
         "**Not enough evidence**: A beats B by 2 points. No verdict, because A: 1 of 4 learned."),
        ({"verdict": NOT_TESTABLE, "reason": "two cores do 500 steps", "e_for": None, "e_against": None,
          "findings": [
            finding(verdict=NOT_TESTED, e_for=None, e_against=None, saw="", estimate=None, low=None,
                    high=None)
        ]},
         "**Not testable at this budget**: A beats B by 2 points. No verdict, because two cores do 500 "
         "steps."),
        ({"verdict": UNDECIDED, "e_for": 0.5, "e_against": 0.4},
         "**Not enough evidence**: A beats B by 2 points. Seen over 4 seeds: 6.40 points (4.10 … 8.70); "
         "tested against 2.00 points; no evidence either way."),
        ({"findings": [finding(primary=False, e_for=None, e_against=None)], "e_for": None, "e_against": None},
         "**Not run with this version** of the rules; an earlier one said: supported."),
    ],
)  # fmt: skip
def test_the_verdict_is_one_sentence(changes, sentence):
    assert verdict_sentence(record(**changes)) == sentence
    assert sentence in claim_page.claim_page(record(**changes), has_figure=False)


def test_a_page_has_no_empty_scale_and_says_once_that_runs_diverged():
    arm = {"arm": "A", "n": 4, "learned": 0, "statuses": {"diverged": 4}, "parameters": 12, "runs": {},
           "causes": {"diverged": 4}, "test/acc": MEAN, "train/acc": MEAN, "test/loss": MEAN}  # fmt: skip
    page = claim_page.claim_page(record(scale="", arms=[arm]), has_figure=False)
    assert "**Scale.**" not in page and "**Scale.** Tiny." in claim_page.claim_page(
        record(), has_figure=False
    )
    assert page.count("diverged") == 1 and "| 4 diverged |" in page


def test_the_only_interval_of_a_page_is_that_of_the_test():
    values = [0.88, 0.9, 0.92, 0.97]
    old = mean_interval(values)
    new = {"value": old.value, "sd": statistics.stdev(values), "n": 4}
    arms = [
        {"arm": arm, "n": 4, "learned": 4, "statuses": {"finished": 4}, "parameters": 12, "runs": {},
         "causes": {}, "test/acc": mean, "train/acc": mean, "test/loss": {"value": None, "n": 4}}
        for arm, mean in (("A", {**new, "sd": None, "low": old.low, "high": old.high}), ("B", new))
    ]  # fmt: skip
    page = claim_page.claim_page(record(arms=arms, findings=[finding()]), has_figure=False)
    row = "| 12 | 4 of 4 | 91.75 % (sd 3.86) | 91.75 % (sd 3.86) | – |"
    assert f"| A {row}" in page and f"| B {row}" in page
    assert "±" not in page and page.count(" … ") == 1
    kept = record(arms=arms).model_dump(by_alias=True)["arms"]
    assert {tuple(arm["test/acc"]) for arm in kept} == {("value", "sd", "n")}


@pytest.mark.parametrize(
    ("interval", "unit", "text"),
    [
        (Interval(5.25e-05, -0.137, 0.137, 4), "decades", "0.00 decades (-0.14 … 0.14)"),
        (Interval(0.999992, 0.999985, 0.999999, 4), "", "0.9999920 (0.9999850 … 0.9999990)"),
        (Interval(1234.5, 1134.5, 1334.5, 4), "steps", "1234 steps (1134 … 1334)"),
        (Interval(0.064, 0.041, 0.087, 4), "points", "6.40 points (4.10 … 8.70)"),
        (Interval(0.5, 0.5, 0.5, 9), "", "0.50 (0.50 … 0.50)"),
        (Interval(0.5, None, None, 2), "", "0.5"),
        (Interval(-0.00001, -0.0007, 0.0007, 6), "points", "0.00 points (-0.07 … 0.07)"),
    ],
)
def test_an_interval_shows_two_digits_of_what_it_leaves_open(interval, unit, text):
    assert format_interval(interval, unit) == text


def test_less_than_so_much_is_shown_in_the_direction_in_which_it_is_said():
    less = finding(
        says="but by less than 10 points", primary=False, saw="-4.28 points (-6.12 … -2.44); a note",
        estimate=-0.0428, low=-0.0612, high=-0.0244, bound=-0.1,
    )  # fmt: skip
    page = claim_page.claim_page(record(findings=[finding(), less]), has_figure=False)
    assert "| 4.28 points (2.44 … 6.12); a note; tested against 10.00 points |" in page


def test_a_count_is_written_out():
    assert [format_fact(x) for x in (2712960.0, 1e12, 0.1307, 5, 1e300)] == [
        "2,712,960", "1,000,000,000,000", "0.1307", "5", "1e+300"
    ]  # fmt: skip


def test_what_was_not_tested_is_no_verdict():
    page = claim_page.claim_page(record(findings=[finding(), {**SECOND, "verdict": NOT_TESTED}]), False)
    assert f"| · {NOT_TESTED} | B learns |" in page


@pytest.mark.parametrize(
    ("e_value", "text"),
    [(57.4, "57 : 1"), (3.25, "3.2 : 1"), (1.0, "1.0 : 1"), (0.25, "1 : 4.0"), (1234.0, "1,234 : 1"),
     (1e9, "over 1,000,000 : 1"), (0.0, "1 : over 1,000,000"), (None, "–")],
)  # fmt: skip
def test_evidence_is_written_as_odds(e_value, text):
    assert format_evidence(e_value) == text


def test_only_pictures_that_are_there_are_shown(tmp_path):
    (tmp_path / "figure-2.svg").write_text("<svg/>", encoding="utf-8")
    shown = record(pictures={"figure-2.svg": "Curves", "pooling_2x2.svg": "Pooling"})
    page = claim_page.write_claim_page(tmp_path, shown).read_text(encoding="utf-8")
    assert "figure-2.svg" in page and "pooling_2x2.svg" not in page and "figure.svg" not in page
