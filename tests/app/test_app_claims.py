"""Claims, in a browser: verdicts, figures, commands; and records that cannot be read."""

import json
import shutil

import pytest
from browsing import REPOSITORY, serving, settled

from trainlab.claims import collection_pages, registry
from trainlab.claims.claim_record import read_record

SOME = ("deep-sigmoid-vanishes", "lenet5-anatomy", "input-normalization")


@pytest.fixture(scope="module")
def few(tmp_path_factory, runs_folder):
    """(Address, folder of claims) of the app on three claims, one of them not run."""
    claims = tmp_path_factory.mktemp("claims")
    for name in SOME:
        shutil.copytree(REPOSITORY / "experiments" / name, claims / name)
    (claims / "input-normalization" / "result.json").unlink()
    with serving(runs_folder, "--experiments", str(claims)) as url:
        yield url, claims


def test_the_verdicts_are_those_of_the_records(address, open_page, shot):
    entries = registry.load_claims(REPOSITORY / "experiments", collection="course")
    judged = collection_pages.verdicts_by_claim(
        collection_pages.read_records(registry.load_claims(REPOSITORY / "experiments"))
    )
    page = open_page(f"{address}/claims")
    for entry in entries:
        card = page.locator(f".st-key-claim-{entry.name}")
        card.wait_for()
        assert entry.claim.question in card.locator("h2").inner_text()
        verdict = judged[entry.name][0] if entry.name in judged else collection_pages.NOT_RUN
        assert verdict in card.locator(".stMarkdownBadge").first.inner_text()
        assert f"trainlab claims run {entry.name}" in card.locator("[data-testid=stCode]").inner_text()
        assert (card.locator("img").count() > 0) == (entry.name in judged)
    drawn = page.evaluate(
        "() => [...document.querySelectorAll('img')].every(image => image.naturalWidth > 0)"
    )
    assert drawn, "every picture can be drawn"
    shot(page, "claims-light")


def test_a_claim_has_its_figure_its_numbers_and_its_command(few, open_page, shot):
    url, _ = few
    page = open_page(f"{url}/claims?claim=deep-sigmoid-vanishes", 390, "dark")
    claim = page.locator(".st-key-claim-deep-sigmoid-vanishes")
    claim.get_by_role("img", name="Why does a deep network with sigmoid not learn?").wait_for()
    claim.locator("summary").last.focus()
    page.keyboard.press("Enter")
    claim.get_by_text("How this differs from the source").wait_for()
    record = read_record(REPOSITORY / "experiments" / "deep-sigmoid-vanishes")
    for expectation in record.expectations if record is not None else ():
        assert expectation.description in claim.inner_text()
    command = claim.locator("[data-testid=stCode]").inner_text()
    assert "trainlab claims run deep-sigmoid-vanishes" in command
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    shot(page, "claims-dark-390")


@pytest.mark.slow
def test_one_that_was_not_run_says_how(few, open_page):
    url, _ = few
    page = open_page(f"{url}/claims?verdict=not+run+yet")
    claim = page.locator(".st-key-claim-input-normalization")
    claim.get_by_text("It has not been run yet").wait_for()
    assert page.locator(".st-key-claim-lenet5-anatomy").count() == 0


@pytest.mark.slow
def test_a_record_that_is_none_gets_one_line(few, open_page):
    url, claims = few
    (claims / "lenet5-anatomy" / "result.json").write_text('{"verdict": "supported"}')
    page = open_page(f"{url}/claims")
    page.get_by_text("is no record of a claim").wait_for()
    assert "not run yet" in page.locator(".st-key-claim-lenet5-anatomy").inner_text()
    (claims / "lenet5-anatomy" / "result.json").write_text("{")
    page.reload()
    page.get_by_text("cannot be read").wait_for()


@pytest.mark.slow
def test_a_link_to_a_claim_of_the_papers_shows_it_alone(address, open_page):
    page = open_page(f"{address}/claims?claim=schoenholz-depth-follows-xi")
    assert page.locator(".st-key-claim-schoenholz-depth-follows-xi").is_visible()
    assert page.locator("h2").count() == 1


@pytest.mark.slow
def test_verdicts_are_chosen_from_and_the_address_keeps_it(address, open_page):
    page = open_page(f"{address}/claims")
    page.get_by_role("button", name="refuted").click()
    page.wait_for_url("**verdict=refuted*")
    settled(page)
    judged = collection_pages.verdicts_by_claim(
        collection_pages.read_records(registry.load_claims(REPOSITORY / "experiments"))
    )
    refuted = [
        entry.claim.question
        for entry in registry.load_claims(REPOSITORY / "experiments", collection="course")
        if judged[entry.name][0] == "refuted"
    ]
    assert page.locator("h2").all_inner_texts() == refuted
    assert open_page(page.url).locator("h2").all_inner_texts() == refuted


@pytest.mark.slow
def test_a_verdict_appears_when_the_claim_is_run_and_markup_in_it_is_shown(few, open_page):
    url, claims = few
    evil = "<img src=x onerror=\"document.title='owned'\">"
    content = json.loads((REPOSITORY / "experiments" / SOME[2] / "result.json").read_text())
    content["findings"][0]["says"] = content["scale"] = evil
    page = open_page(f"{url}/claims?claim={SOME[2]}")
    card = page.locator(f".st-key-claim-{SOME[2]}")
    assert "not run yet" in card.inner_text()
    (claims / SOME[2] / "result.json").write_text(json.dumps(content))
    card.locator("img").wait_for()
    assert "not run yet" not in card.inner_text()
    card.locator("summary").last.click()
    card.get_by_text(evil).first.wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert "owned" not in page.title()


@pytest.mark.slow
def test_a_folder_without_claims_says_so(few, open_page):
    url, claims = few
    for name in SOME:
        shutil.rmtree(claims / name)
    page = open_page(f"{url}/claims")
    assert "choose with --experiments" in page.get_by_test_id("stAlert").first.inner_text()
    assert "trainlab claims check" in page.get_by_test_id("stCode").inner_text()
