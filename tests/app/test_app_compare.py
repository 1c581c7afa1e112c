"""Compare, in a browser: filters, curves, table, effects, two runs, the address, a sweep in progress."""

import json
import shutil

import pytest
import yaml
from browsing import cells, chart, settled

from trainlab.runs import RunFolder, load_runs


@pytest.fixture(scope="module")
def a_run(runs_folder):
    """The id of a run with ReLU and Kaiming."""
    runs = load_runs(runs_folder).filter(activation="relu", init="kaiming", seed=0)
    return runs["run_id"][0]


def test_it_says_what_there_is_and_shows_curves_and_a_table(address, open_page, shot):
    page = open_page(f"{address}/compare")
    assert page.get_by_text("8 runs").is_visible()
    assert "relu, kaiming" in chart(page, "val/acc by epoch of").inner_text()
    shown = cells(page)
    assert {"relu", "sigmoid", "glorot", "kaiming"} <= set(shown)
    assert page.get_by_text("all: normalization=standardize").is_visible()
    assert shot(page, "compare-light").stat().st_size > 20_000


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_wide_and_narrow_windows_light_and_dark(address, open_page, shot, width):
    page = open_page(f"{address}/compare", width, "dark")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    background = page.evaluate("() => getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert background == "rgb(18, 22, 27)"
    shot(page, f"compare-dark-{width}")


@pytest.mark.slow
def test_the_address_keeps_the_selection(address, open_page):
    page = open_page(f"{address}/compare?only.activation=relu&by=init&metric=test%2Floss")
    assert page.get_by_text("4 runs").is_visible()
    shown = cells(page)
    assert "glorot" in shown
    assert "sigmoid" not in shown
    assert page.get_by_role("combobox", name="Metric").first.input_value() == "test/loss"


def test_a_filter_changes_the_address_and_the_runs(address, open_page):
    page = open_page(f"{address}/compare")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("combobox", name="activation").first.click()
    page.get_by_role("option", name="sigmoid").click()
    page.get_by_text("4 runs").wait_for()
    assert "only.activation=sigmoid" in page.url


@pytest.mark.slow
def test_effects_and_parallel_coordinates(address, open_page):
    page = open_page(f"{address}/compare")
    page.get_by_role("tab", name="Effect of each axis").click()
    assert "activation × init" in chart(page, "Share of the variance of test/acc by axis").inner_text()
    assert "init = glorot" in chart(page, "Mean test/acc of each level").inner_text()
    assert "view=" in page.url
    page.get_by_role("tab", name="Parallel coordinates").click()
    assert "kaiming" in chart(page, "What do the best settings have in common?").inner_text()


@pytest.mark.slow
def test_two_runs_show_in_what_they_differ(address, open_page, runs_folder):
    runs = load_runs(runs_folder).filter(seed=0, init="glorot")
    first, second = runs["run_id"].to_list()
    page = open_page(f"{address}/compare?view=Two+runs&first={first}&second={second}")
    shown = cells(page)
    assert {"activation", "relu", "sigmoid"} <= set(shown)
    assert not {"init", "activation._target_"} & set(shown), "what they share, and classes, are left out"


def test_a_sweep_in_progress_appears_without_a_reload(own, open_page, a_run, tmp_path):
    (url, folder), held = own, tmp_path
    shutil.move(folder / a_run, held / a_run)
    page = open_page(f"{url}/compare")
    assert page.get_by_text("7 runs").is_visible()
    run, result = RunFolder(folder / a_run), RunFolder(held / a_run).result()
    assert result is not None
    with run.lock():
        run.write_settings(RunFolder(held / a_run).settings())
        page.get_by_text("8 runs").wait_for()
        page.get_by_text("1 running").wait_for()
        run.finish(result)
    page.get_by_text("1 running").wait_for(state="detached")


@pytest.mark.slow
def test_a_run_that_goes_while_it_is_shown(own, open_page, a_run):
    url, folder = own
    page = open_page(f"{url}/compare")
    shutil.rmtree(folder / a_run)
    page.get_by_text("7 runs").wait_for()


def test_markup_in_names_is_shown_and_not_run(own, open_page, a_run):
    url, folder = own
    evil = "<img src=x onerror=\"document.title='owned'\">"
    for name in ("result.json", "config.yaml"):
        path = folder / a_run / name
        content = yaml.safe_load(path.read_text())
        content["axes"]["activation"] = content["group"] = evil
        path.write_text(json.dumps(content) if name == "result.json" else yaml.safe_dump(content))
    page = open_page(f"{url}/compare")
    assert evil in cells(page)
    page.get_by_role("tab", name="Two runs").click()
    page.get_by_role("combobox", name="First run").wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert "owned" not in page.title()


@pytest.mark.slow
def test_folders_of_someone_else_are_named_and_passed_over(own, open_page):
    url, folder = own
    (folder / "<b>holiday").mkdir()
    (folder / "<b>holiday" / "beach.jpg").write_bytes(b"sand")
    (folder / "torn").mkdir()
    (folder / "torn" / "result.json").write_text('{"schema": 1, "run')
    page = open_page(f"{url}/compare")
    assert page.get_by_text("8 runs").is_visible()
    assert page.get_by_text("<b>holiday: not a run").is_visible()
    assert page.get_by_text("torn: result.json is cut short").is_visible()


def test_an_empty_machine_says_what_to_run(own, open_page, shot):
    url, folder = own
    shutil.rmtree(folder)
    page = open_page(f"{url}/compare")
    assert page.get_by_text("No runs in").is_visible()
    page.get_by_test_id("stCode").get_by_text(f"paths.runs={folder}").wait_for()  # where this app looks
    shot(page, "compare-empty")


@pytest.mark.slow
def test_two_browsers_at_once_keep_their_own_selection(address, open_page):
    one = open_page(f"{address}/compare?only.activation=relu")
    other = open_page(f"{address}/compare?only.activation=sigmoid")
    settled(one)
    assert "sigmoid" not in cells(one)
    assert "relu" not in cells(other)


@pytest.mark.slow
def test_a_row_leads_to_its_runs_in_the_same_tab_and_back_again(address, open_page):
    page = open_page(f"{address}/compare?by=activation")
    table = page.get_by_test_id("stDataFrame")
    table.wait_for()
    page.get_by_text("Look inside relu:").wait_for()
    box = table.bounding_box()
    page.mouse.click(box["x"] + 60, box["y"] + box["height"] - 15)  # its last row
    page.get_by_text("Look inside sigmoid:").wait_for()
    links = page.get_by_test_id("stHtml").locator("a[href*='run?run=']")
    assert links.count() == 4
    asked = links.last.get_attribute("href")
    links.last.click()
    page.get_by_role("heading", name="Inside a run").wait_for()
    assert page.url.endswith(asked) and len(page.context.pages) == 1
    settled(page)
    page.go_back()
    page.get_by_role("heading", name="Compare").wait_for()
    assert page.url.endswith("/compare?by=activation")
