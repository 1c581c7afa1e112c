"""Anatomy, in a browser: the numbers of the layer table, and dense, local and convolution side by side."""

import pytest
from browsing import settled

from trainlab.app import layer_diagrams, model_service
from trainlab.errors import RequestError
from trainlab.models import LayerRow


def test_lenet5_and_the_three_ways(loaded_address, open_page, shot):
    page = open_page(f"{loaded_address}/anatomy?model=lenet5")
    page.get_by_text("61.71 k").wait_for()
    settled(page)
    rows = page.locator("table.lp tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == [
        "C1.conv",
        "S2",
        "C3.conv",
        "S4",
        "C5.conv",
        "F6.linear",
        "output",
    ]
    assert "2,416" in rows[2] and "14 × 14" in rows[2] and "240 k" in rows[2]
    cards = page.locator(".ways > div").all_inner_texts()
    assert [card.splitlines()[0] for card in cards] == ["Dense", "Locally connected", "Convolution"]
    assert ["2,712,960" in cards[0], "89,856" in cards[1], "156" in cards[2]] == [True] * 3
    page.get_by_text("show activations").click()
    page.locator("table.lp").get_by_text("ReLU").first.wait_for()
    shot(page, "anatomy-light-1280")


@pytest.mark.slow
def test_depth_by_the_keyboard_changes_the_layers(loaded_address, open_page, shot):
    page = open_page(f"{loaded_address}/anatomy?model=plain_cnn", 390, "dark")
    page.locator("table.lp").wait_for()
    convolutions = page.locator("table.lp tbody tr", has_text="Conv2d")
    assert convolutions.count() == 4
    page.get_by_role("slider", name="depth").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_test_id("stCode").get_by_text("depth=5").wait_for()
    settled(page)
    assert convolutions.count() == 5 and "depth_plain_cnn=5" in page.url
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    shot(page, "anatomy-dark-390")


@pytest.mark.slow
def test_what_does_not_fit_is_said_in_one_line(loaded_address, open_page):
    page = open_page(f"{loaded_address}/anatomy?model=vgg&side=16")
    page.get_by_test_id("stAlert").get_by_text("poolings on 16 × 16 pixels").wait_for()
    settled(page)
    assert page.locator(".ways").count() == 1, "the rest of the page is there"


# Without a browser


def test_three_ways_are_real_layers():
    dense, local, shared = model_service.layer_type_costs((3, 12, 12), 4, 5)
    assert dense.parameters == (3 * 144) * (4 * 64) + 4 * 64 and dense.multiply_adds == 432 * 256
    assert local.parameters == 64 * 4 * (75 + 1) and shared.parameters == 4 * (75 + 1)
    assert local.multiply_adds == shared.multiply_adds == 64 * 4 * 75
    with pytest.raises(RequestError, match="kernel 13 × 13"):
        model_service.layer_type_costs((1, 12, 12), 4, 13)


def test_names_of_layers_are_shown_letter_by_letter():
    row = LayerRow(
        name="<script>alert(1)</script>", kind="<b>", kernel=None, stride=None, padding=None,
        out_shape=(3,), parameters=1, multiply_adds=0, receptive_field=None,
    )  # fmt: skip
    html = layer_diagrams.layer_table_html([row])
    assert "<script>" not in html and "&lt;script&gt;" in html and "<b>" not in html


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (9_999, "9,999"), (61_706, "61.71 k"), (138_357_544, "138.4 M"), (15_470_264_320, "15.47 G")],
)
def test_numbers_are_short(count, text):
    assert layer_diagrams.format_count(count) == text


@pytest.mark.parametrize("model", ["plain_cnn", "mlp", "locally_connected", "resnet", "vgg"])
def test_depths_are_those_that_the_model_takes(model):
    depths = model_service.model_depths(model)
    assert len(depths) > 1
    for depth in (depths[0], depths[-1]):
        settings = model_service.compose_settings((f"model={model}", f"depth={depth}"))
        assert model_service.layer_table(settings, (3, 32, 32))


def test_a_model_without_a_choice_of_depth_has_none():
    assert model_service.model_depths("lenet5") == []
