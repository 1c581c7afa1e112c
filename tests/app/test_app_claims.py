"""Claims, in a browser: verdicts, figures, commands; and records that cannot be read."""

import shutil

import pytest
from browsing import REPOSITORY, serving

from trainlab.claims import course, folder

SOME = ("deep-sigmoid-vanishes", "lenet5-anatomy", "gamma-beta-matter")


@pytest.fixture(scope="module")
def few(tmp_path_factory, runs_folder):
    """(Address, folder of claims) of the app on three claims, one of them not run."""
    claims = tmp_path_factory.mktemp("claims")
    for name in SOME:
        shutil.copytree(REPOSITORY / "experiments" / name, claims / name)
    (claims / "gamma-beta-matter" / "result.json").unlink()
    with serving(runs_folder, "--experiments", str(claims)) as url:
        yield url, claims


def test_the_verdicts_are_those_of_the_records(address, open_page, shot):
    entries = folder.load(REPOSITORY / "experiments", collection="course")
    judged = course.verdicts(course.recorded(folder.load(REPOSITORY / "experiments")))
    page = open_page(f"{address}/claims")
    for entry in entries:
        line = page.locator(f".st-key-claim-{entry.name} summary")
        line.wait_for()
        assert entry.claim.question in line.inner_text()
        assert (judged[entry.name][0] if entry.name in judged else course.NOT_RUN) in line.inner_text()
    shot(page, "claims-light")


def test_a_claim_has_its_figure_its_numbers_and_its_command(few, open_page, shot):
    url, _ = few
    page = open_page(f"{url}/claims", 390, "dark")
    claim = page.locator(".st-key-claim-deep-sigmoid-vanishes")
    claim.locator("summary").focus()
    page.keyboard.press("Enter")
    claim.get_by_role("img", name="Why does a deep network with sigmoid not learn?").wait_for()
    assert "with sigmoid the test accuracy stays" in claim.locator("table").first.inner_text()
    command = claim.locator("[data-testid=stCode]").inner_text()
    assert "trainlab claims run deep-sigmoid-vanishes --profile cpu" in command
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    shot(page, "claims-dark-390")


def test_one_that_was_not_run_says_how(few, open_page):
    url, _ = few
    page = open_page(f"{url}/claims?verdict=not+run+yet")
    claim = page.locator(".st-key-claim-gamma-beta-matter")
    claim.locator("summary").click()
    claim.get_by_text("It has not been run yet").wait_for()
    assert page.locator(".st-key-claim-lenet5-anatomy").count() == 0


def test_a_record_that_is_none_gets_one_line(few, open_page):
    url, claims = few
    (claims / "lenet5-anatomy" / "result.json").write_text('{"verdict": "supported"}')
    page = open_page(f"{url}/claims")
    page.get_by_text("is no record of a claim").wait_for()
    assert "not run yet" in page.locator(".st-key-claim-lenet5-anatomy summary").inner_text()
    (claims / "lenet5-anatomy" / "result.json").write_text("{")
    page.reload()
    page.get_by_text("cannot be read").wait_for()
