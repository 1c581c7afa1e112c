"""Inside a run, in a browser: verdict, layers, theory, maps and fields, mistakes; and what can be wrong."""

import re
import shutil

import pytest
from browsing import cells, chart, settled

from trainlab.runs import RunFolder, load_runs


@pytest.fixture(scope="module")
def run_of(runs_folder):
    """The id of the run of an activation and a seed, with Kaiming's weights."""

    def find(activation: str, seed: int = 0) -> str:
        runs = load_runs(runs_folder).filter(activation=activation, init="kaiming", seed=seed)
        return runs["run_id"][0]

    return find


def test_the_verdict_stands_at_the_top_in_words(address, open_page, run_of, runs_folder):
    name = run_of("sigmoid")
    result = RunFolder(runs_folder / name).result()
    assert result is not None and result.verdict.cause is not None
    cause = result.verdict.cause
    page = open_page(f"{address}/run?run={name}")
    page.get_by_text(re.compile(r"\bdid not learn$")).first.wait_for()
    page.get_by_text(re.compile(cause.replace("_", " "), re.IGNORECASE)).first.wait_for()
    assert "python train.py" in page.locator("[data-testid=stCode]").first.inner_text()


def test_heat_maps_and_the_numbers_at_a_step(address, open_page, run_of, shot):
    page = open_page(f"{address}/run?run={run_of('relu')}")
    page.get_by_text(re.compile(r"\b(learned|learned poorly)$")).first.wait_for()
    for title in ("Gradient", "Activation", "Dead units"):
        assert "conv1" in chart(page, f"{title} by layer and step").inner_text()
    assert any(".conv" in cell for cell in cells(page))
    last = page.get_by_text(re.compile(r"At step \d+:")).inner_text()
    page.get_by_role("slider").first.focus()
    page.keyboard.press("ArrowLeft")  # the keyboard is enough
    page.get_by_text(re.compile(r"At step \d+:")).filter(has_not_text=last).wait_for()
    shot(page, "run-light")


@pytest.mark.slow
def test_theory_stands_over_measurement(address, open_page, run_of):
    page = open_page(f"{address}/run?run={run_of('relu')}")
    page.set_default_timeout(60_000)
    assert "theory" in chart(page, "Forward: does the signal keep its size?").inner_text()
    chart(page, "Backward: does the gradient reach the first layer?")


@pytest.mark.slow
def test_two_runs_side_by_side(address, open_page, run_of, shot):
    page = open_page(f"{address}/run?run={run_of('relu')}&beside={run_of('sigmoid')}", scheme="dark")
    page.get_by_text(re.compile(r"\b(learned|learned poorly)$")).first.wait_for()
    page.get_by_text(re.compile(r"\bdid not learn$")).first.wait_for()
    shot(page, "run-two-dark")


def test_maps_kernels_and_the_receptive_field(address, open_page, run_of, shot):
    page = open_page(f"{address}/run?run={run_of('relu')}&part=What+it+sees")
    page.set_default_timeout(60_000)
    page.get_by_alt_text(re.compile("^Maps of ")).wait_for()
    page.get_by_alt_text(re.compile("^Kernels of ")).wait_for()
    seen = page.get_by_text(re.compile(r"sees \d+ × \d+ pixels"))
    before = seen.inner_text()
    page.get_by_role("slider", name="Row of the unit").focus()
    page.keyboard.press("ArrowLeft")
    seen.filter(has_not_text=before).wait_for()
    shot(page, "run-sees")


@pytest.mark.slow
def test_mistakes_and_the_confusion_matrix(address, open_page, run_of, shot):
    page = open_page(f"{address}/run?run={run_of('sigmoid')}&part=Mistakes", 390)
    page.set_default_timeout(60_000)
    assert "predicted class" in chart(page, "Which classes are taken for which?").inner_text()
    page.get_by_alt_text(re.compile("^Taken: ")).first.wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    shot(page, "run-mistakes-390")


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"not a checkpoint", b"PK\x03\x04 torn"], ids=["foreign", "torn"])
def test_a_corrupt_checkpoint_gets_one_line(own, open_page, run_of, content):
    url, folder = own
    name = run_of("relu")
    (folder / name / "checkpoints" / "last.ckpt").write_bytes(content)
    page = open_page(f"{url}/run?run={name}&part=What+it+sees")
    page.get_by_text("not a readable checkpoint").wait_for(timeout=60_000)
    page.get_by_role("tab", name="Layers").click()  # and the app goes on
    chart(page, "Gradient by layer and step")


@pytest.mark.slow
def test_a_run_that_is_being_written(own, open_page, run_of):
    url, folder = own
    name = run_of("relu")
    run = RunFolder(folder / name)
    shutil.rmtree(run.checkpoints)
    (run.path / "result.json").unlink()
    (run.path / "confusion.parquet").unlink()
    with run.lock():
        page = open_page(f"{url}/run?run={name}")
        page.get_by_text("still running: this is what its record shows so far").wait_for()
        page.get_by_role("tab", name="What it sees").click()
        page.get_by_text("has no checkpoint").wait_for()
        page.get_by_role("tab", name="Mistakes").click()
        page.get_by_text("has not been tested yet").wait_for()


@pytest.mark.slow
def test_a_run_deleted_while_it_is_shown_is_said_to_be_gone(own, open_page, run_of):
    url, folder = own
    name = run_of("relu", seed=1)
    page = open_page(f"{url}/run?run={name}")
    shutil.rmtree(folder / name)
    page.get_by_text(f"{name} is not there, or not any more").wait_for()


@pytest.mark.slow
def test_a_name_from_elsewhere_is_refused_and_shown_as_text(address, open_page):
    page = open_page(f"{address}/run?run=..%2F..%2Fetc%3Cimg src=x%3E")
    settled(page)
    page.get_by_text("../../etc<img src=x> is not there").wait_for()
    assert page.locator("img[src=x]").count() == 0
