"""Will it learn?, in a browser: theory, forecast, remedy, and the command to copy."""

import re

import pytest
from browsing import chart, settled


def chance(page):
    """The forecast's probability, in percent, once it is there."""
    settled(page)
    return int(re.search(r"(\d+)% likely to learn", page.locator("h2").first.inner_text())[1])


def test_a_deep_sigmoid_will_not_learn_and_its_remedy_will(loaded_address, open_page, shot):
    page = open_page(f"{loaded_address}/will-it-learn")
    assert page.get_by_text("does not reach the end").is_visible()
    before = chance(page)
    assert before < 50
    for quantity in ("Signal", "Images told apart", "Gradient"):
        assert "layer (1 is the first)" in chart(page, quantity).inner_text()
    shot(page, "will-it-learn-light-1280")
    page.get_by_role("button", name="Try the remedy: norm_layer=batchnorm").click()
    page.get_by_test_id("stCode").get_by_text("norm_layer=batchnorm").wait_for()
    assert chance(page) > before + 30
    assert "norm_layer=batchnorm" in page.url


@pytest.mark.slow
def test_theory_answers_before_the_forecast_and_the_command_is_copied(loaded_address, open_page):
    page = open_page(f"{loaded_address}/will-it-learn")
    page.get_by_role("combobox", name="activation").click()
    page.get_by_role("option", name="relu", exact=True).click()
    page.get_by_text("does not reach the end").wait_for(state="detached")
    assert page.get_by_text("being measured").is_visible(), "the theory does not wait for the forecast"
    assert chance(page) > 20
    copied = page.get_by_test_id("stCode")
    copied.hover()
    copied.get_by_role("button").click()
    line = page.evaluate("() => navigator.clipboard.readText()")
    made, _, folder = line.partition(" paths.runs=")
    assert made == "python train.py depth=12 optimizer=sgd_momentum trainer.max_steps=500"
    assert folder.endswith("app-runs"), "it is recorded where this app looks"


@pytest.mark.slow
def test_a_network_that_is_no_chain_has_a_forecast_and_no_theory(loaded_address, open_page, shot):
    page = open_page(f"{loaded_address}/will-it-learn?model=resnet", 390, "dark")
    page.get_by_text("no chain of layers").wait_for()
    assert chance(page) >= 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    shot(page, "will-it-learn-dark-390")


@pytest.mark.slow
@pytest.mark.parametrize("query", ["model=mlp&norm_layer=instancenorm", "activation=<b>x</b>"])
def test_what_cannot_be_built_is_said_in_one_line(loaded_address, open_page, query):
    page = open_page(f"{loaded_address}/will-it-learn?{query}")
    settled(page)
    assert page.get_by_test_id("stException").count() == 0
    if "mlp" in query:
        assert (
            "InstanceNorm2d cannot normalize 100 features"
            in page.get_by_test_id("stAlert").first.inner_text()
        )
    else:
        assert "activation=sigmoid" in page.get_by_test_id("stCode").inner_text(), "the default instead"


@pytest.mark.slow
def test_the_charts_stay_until_the_next_are_there_and_a_link_holds_every_control(loaded_address, open_page):
    page = open_page(f"{loaded_address}/will-it-learn")
    page.set_default_timeout(120_000)
    chance(page)
    page.evaluate(
        """() => {
          window.seen = new Set();
          const look = () => {
            const charts = document.querySelectorAll("[data-testid=stVegaLiteChart] svg").length;
            const answer = document.querySelector(".st-key-answer").getBoundingClientRect().height;
            window.seen.add(charts);
            window.least = Math.min(window.least || 1e9, answer);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    for name in ("learning rate", "steps", "depth"):
        page.get_by_role("slider", name=name).focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(500)
        chance(page)
    assert page.evaluate("() => [...window.seen]") == [3], "how many charts were there, in any frame"
    assert page.evaluate("() => window.least") > 200, "the place of the answer does not shrink"
    command = page.get_by_test_id("stCode").inner_text()
    assert all(part in command for part in ("optimizer.lr=0.02", "trainer.max_steps=1000", "depth=13"))
    other = open_page(page.url)
    assert other.get_by_test_id("stCode").inner_text() == command
    between = open_page(page.url.replace("lr_sgd_momentum=0.02", "lr_sgd_momentum=0.003"))
    assert "optimizer.lr=0.003" in between.get_by_test_id("stCode").inner_text(), (
        "not one of the round values"
    )


@pytest.mark.slow
def test_two_browsers_that_ask_the_same_both_get_it(loaded_address, open_page):
    query = "will-it-learn?activation=tanh&depth_plain_cnn=21"
    pages = [open_page(f"{loaded_address}/{query}") for _ in range(2)]
    pages[0].get_by_role("slider", name="depth").focus()
    pages[0].keyboard.press("ArrowRight")
    for page in pages:
        page.set_default_timeout(150_000)
        page.get_by_text("likely to learn").wait_for()
        assert page.get_by_test_id("stException").count() == 0
