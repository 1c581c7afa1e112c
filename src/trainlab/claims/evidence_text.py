"""The verdict on a claim in words: what was seen, how strong the evidence is, and what an e-value means."""

from collections.abc import Sequence

from trainlab.claims.claim_record import ClaimRecord, ExpectationRecord
from trainlab.claims.judge import (
    DECIDED_E,
    DOES_NOT_HOLD,
    HOLDS,
    NOT_TESTED,
    OUTDATED,
    REFUTED,
    STOP_E,
    SUPPORTED,
    UNDECIDED,
    PageVerdict,
    is_outdated,
)
from trainlab.claims.value_text import format_in_unit, format_interval
from trainlab.stats.intervals import Interval
from trainlab.stats.power import detectable_effect

MARKS = {SUPPORTED: "✔", REFUTED: "✘", HOLDS: "✔", DOES_NOT_HOLD: "✘", NOT_TESTED: "·", OUTDATED: "·"}
ONE_SIDED = ("more", "order", "interaction", "slope", "bound")
"""Expectations that a mean lies on one side of a bound."""
FEWEST_SEEDS = 3
UNSURE = "?"
"""The mark of every other verdict."""
NO_EVIDENCE = "no evidence either way"
MAX_EVIDENCE = 1e6
WHAT_EVIDENCE_MEANS = (
    "Each setting is run several times, every time from other random numbers (a seed); what is expected "
    "was written down before the runs that count. Evidence 57 : 1 means: were the sentence false, "
    "evidence this strong would turn up at most once in 57 such experiments, however often one looks on "
    "the way. 20 : 1 decides a claim by itself. In brackets stands the interval of 90 %, which holds at "
    "every look too. Points are percentage points; a decade is a factor of ten."
)
WHAT_PAGE_VERDICTS_ARE = (
    "Of many claims that are each decided at 20 : 1 some verdicts are wrong by chance. On the page of all "
    "claims a verdict therefore needs more evidence the fewer claims are as clear (e-BH): of the verdicts "
    "there, at most one in twenty is expected to be wrong."
)


def format_evidence(e_value: float | None) -> str:
    """`57 : 1`; `1 : 4.2` where the evidence is rather for the opposite; `–` of a fact."""
    if e_value is None:
        return "–"
    if e_value >= MAX_EVIDENCE:
        return "over 1,000,000 : 1"
    if e_value >= 1:
        return f"{_rounded(e_value)} : 1"
    return "1 : over 1,000,000" if e_value * MAX_EVIDENCE < 1 else f"1 : {_rounded(1 / e_value)}"


def _rounded(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def mark_of(verdict: str) -> str:
    """The sign of a verdict."""
    return MARKS.get(verdict, UNSURE)


def primary_of(record: ClaimRecord) -> ExpectationRecord | None:
    """The expectation that makes the headline; None of facts, and in records of before there was one."""
    return next((expectation for expectation in record.expectations if expectation.primary), None)


def facts_of(record: ClaimRecord) -> Sequence[ExpectationRecord]:
    """What was counted."""
    return [expectation for expectation in record.expectations if expectation.kind == "exact"]


def secondary_of(record: ClaimRecord) -> Sequence[ExpectationRecord]:
    """The tested expectations beside the primary one."""
    return [e for e in record.expectations if not e.primary and e.kind != "exact"]


def verdict_sentence(record: ClaimRecord) -> str:
    """The verdict by itself in one sentence, in Markdown: with the effect, its interval and the evidence."""
    if is_outdated(record):
        return f"**{OUTDATED.capitalize()}** of the rules; an earlier one said: {record.verdict}."
    headline = f"**{record.verdict.capitalize()}**"
    primary = primary_of(record)
    if primary is None:
        reason = f": {record.reason}" if record.reason else ""
        counted = "counted; chance has no part in it" if record.verdict in (HOLDS, DOES_NOT_HOLD) else ""
        return f"{headline}{reason}{f' ({counted})' if counted else ''}."
    sentence = f"{headline}: {primary.description}."
    reason = record.reason or primary.reason
    if primary.observed not in ("", reason):  # something was seen
        has_mean = primary.n and primary.estimate is not None  # counts have their number of runs already
        seeds = f" over {primary.n} seeds" if has_mean else ""
        seen = [f"Seen{seeds}: {_seen_and_bound(primary)}", evidence_words(record)]
        sentence += f" {'; '.join(filter(None, seen))}."
    if reason:
        return f"{sentence} No verdict, because {reason}."
    return f"{sentence} {undecidable_words(primary)}".rstrip()


def undecidable_words(expectation: ExpectationRecord) -> str:
    """Of an expectation that all its seeds left undecided: how large a difference would have been shown."""
    if expectation.verdict != UNDECIDED or expectation.kind not in ONE_SIDED or not expectation.sd:
        return ""
    least = detectable_effect(min(FEWEST_SEEDS, expectation.n), expectation.n, STOP_E, DECIDED_E)
    if least is None:
        return ""
    spread, effect = (format_in_unit(x, expectation.unit) for x in (expectation.sd, least * expectation.sd))
    beyond = " beyond the bound" if expectation.bound else ""
    return (
        f"Its seeds differ by a standard deviation of {spread}: so many would show a difference of {effect}"
        f"{beyond} in four experiments of five, and a smaller one less often."
    )


def evidence_words(record: ClaimRecord | ExpectationRecord) -> str:
    """`evidence 57 : 1 for it`, of the clearer side; '' of facts and old records."""
    if record.e_for is None or record.e_against is None:
        return ""
    if max(record.e_for, record.e_against) <= 1:
        return NO_EVIDENCE
    if record.e_for >= record.e_against:
        return f"evidence {format_evidence(record.e_for)} for it"
    return f"evidence {format_evidence(record.e_against)} against it"


def page_verdict_sentence(record: ClaimRecord, on_page: PageVerdict | None) -> str:
    """The verdict among all claims of its collection; '' where that is not known."""
    if on_page is None or is_outdated(record):
        return ""
    if on_page.e_value is None:
        return ""  # a fact needs no correction
    return f"On the page of all claims of the {record.collection}: {on_page.verdict}."


def observed_text(expectation: ExpectationRecord) -> str:
    """What was seen, beside the bound that it was tested against; why it could not be tested."""
    if not expectation.reason:
        return _seen_and_bound(expectation)
    reason = f"not tested: {expectation.reason}"
    return reason if expectation.observed == expectation.reason else f"{expectation.observed}; {reason}"


def _seen_and_bound(expectation: ExpectationRecord) -> str:
    if expectation.kind == "more" and (expectation.bound or 0) < 0:
        expectation = _turned(expectation)
    if not expectation.bound:
        return expectation.observed
    sign = "±" if expectation.kind in ("same", "near") else ""
    bound = format_in_unit(expectation.bound, expectation.unit)
    return f"{expectation.observed}; tested against {sign}{bound}"


def _turned(expectation: ExpectationRecord) -> ExpectationRecord:
    """B − A: that A − B is above −2 points is said as "B is less than 2 points better"."""
    low, high = expectation.low, expectation.high
    if expectation.estimate is None or expectation.bound is None:
        return expectation
    turned = Interval(
        -expectation.estimate, None if high is None else -high, None if low is None else -low, expectation.n
    )
    _, semicolon, notes = expectation.observed.partition("; ")
    observed = format_interval(turned, expectation.unit) + semicolon + notes
    return expectation.model_copy(update={"observed": observed, "bound": -expectation.bound})
