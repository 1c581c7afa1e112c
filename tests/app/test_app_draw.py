"""Draw and predict, in a browser: real strokes, uploads good and bad, statistics that are wrong."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from browsing import chart, serving, settled
from PIL import Image

from trainlab.app import model_service, run_cache
from trainlab.errors import RequestError

ZERO = [(0.5, 0.2), (0.3, 0.35), (0.3, 0.65), (0.5, 0.8), (0.7, 0.65), (0.7, 0.35), (0.5, 0.2)]


@pytest.fixture
def own_runs(runs_folder, tmp_path):
    """A copy of the runs that a test may change."""
    run_cache.trained_runs.clear()
    return Path(shutil.copytree(runs_folder, tmp_path / "runs"))


def draw(page, points):
    """A stroke with the mouse; the points are shares of the canvas."""
    canvas = page.locator("canvas.upper-canvas")
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # the canvas takes the mouse only once its tools are there
    box = canvas.bounding_box()
    first, *rest = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*first)
    page.mouse.down()
    for point in rest:
        page.mouse.move(*point, steps=5)
    page.mouse.up()


def answer(page):
    """(class, probability in percent) that the page shows."""
    page.get_by_role("heading", name="On the way").wait_for()
    settled(page)
    said = page.locator("h3", has_text=re.compile(r"· \d+\.\d%")).inner_text()
    name, share = said.split(" · ")
    return name, float(share.rstrip("%"))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def digit(light_on_dark=False, mode="L"):
    """A 0, drawn large, on paper or on a blackboard."""
    y, x = np.indices((200, 160))
    ring = np.hypot((y - 100) / 1.4, x - 80)
    ink = (ring > 38) & (ring < 58)
    return Image.fromarray(np.where(ink == light_on_dark, 255, 0).astype(np.uint8)).convert(mode)


def upload(page, name, content):
    page.locator("input[type=file]").set_input_files(
        [{"name": name, "mimeType": "application/octet-stream", "buffer": content}]
    )


def test_a_digit_drawn_with_the_mouse_is_predicted(loaded_address, open_page, shot):
    page = open_page(f"{loaded_address}/draw")
    assert page.get_by_text("Nothing yet.").is_visible()
    draw(page, ZERO)
    name, share = answer(page)
    assert name in "0123456789" and 10 <= share <= 100
    assert page.get_by_text("as scikit-learn's digits were made").is_visible()
    assert page.get_by_text("resized from 32 × 32 to 16 × 16").is_visible()
    assert f"{share:.1f}%" in chart(page, f"{name}: {share:.1f}%").inner_text()
    assert page.locator("img[alt^='8 maps of stages']").count() >= 1
    shot(page, "draw-light-1280")


def pressed(page, label):
    """Presses one of the page's own buttons; the canvas has hidden ones of the same names."""
    page.locator(f".st-key-{label} button").click()
    settled(page)
    page.wait_for_timeout(800)


@pytest.mark.slow
def test_strokes_are_taken_back_and_kept_while_one_looks_elsewhere(loaded_address, open_page):
    page = open_page(f"{loaded_address}/draw", 390)
    draw(page, ZERO)
    zero = answer(page)
    draw(page, [(0.1, 0.1), (0.9, 0.9)])
    settled(page)
    said = page.locator("h3", has_text=re.compile(r"· \d+\.\d%"))
    said.filter(has_not_text=f"{zero[0]} · {zero[1]}").wait_for()
    crossed = answer(page)
    pressed(page, "undo")
    said.filter(has_text=f"{zero[0]} · {zero[1]}").wait_for()
    draw(page, [(0.1, 0.1), (0.9, 0.9)])
    said.filter(has_text=f"{crossed[0]} · {crossed[1]}").wait_for()
    page.get_by_text("A test image").click()
    settled(page)
    assert "way=A+test+image" in page.url
    page.get_by_test_id("stButtonGroup").get_by_text("Draw", exact=True).click()
    page.locator("canvas.upper-canvas").wait_for()
    assert answer(page) == crossed, "the drawing is still there"
    pressed(page, "clear")
    page.get_by_text("Nothing yet.").wait_for()
    assert page.locator(".st-key-undo button").is_disabled()


@pytest.mark.slow
@pytest.mark.parametrize("grey", [255, 128, 0])
def test_a_page_with_nothing_on_it_gets_no_prediction(loaded_address, open_page, grey):
    page = open_page(f"{loaded_address}/draw?way=Upload")
    upload(page, "page.png", encoded(Image.new("L", (200, 200), grey)))
    page.get_by_test_id("stAlert").get_by_text("No prediction").wait_for()
    assert page.get_by_role("heading", name="What it says").count() == 0
    assert page.get_by_role("heading", name="On the way").count() == 0


@pytest.mark.slow
def test_a_photo_is_shown_with_what_is_cut_out_of_it(loaded_address, open_page, shot):
    page = open_page(f"{loaded_address}/draw?way=Upload", 390)
    paper = np.full((400, 300), 180) + np.linspace(0, 60, 300).astype(int)
    paper[60:200, 40:150] = np.where(np.asarray(digit().resize((110, 140))) < 128, 60, paper[60:200, 40:150])
    upload(page, "photo.png", encoded(Image.fromarray(paper.astype(np.uint8))))
    page.get_by_alt_text("Your picture, what is cut out framed").wait_for()
    assert answer(page)[0] in "0123456789"
    shot(page, "draw-photo-390")


@pytest.mark.slow
def test_wrong_statistics_show_what_goes_wrong_and_can_be_reset(loaded_address, open_page):
    page = open_page(f"{loaded_address}/draw")
    page.get_by_text("A test image").click()
    own = answer(page)
    mean = page.get_by_role("spinbutton", name="mean")
    before = mean.input_value()
    assert float(before) == pytest.approx(0.305, abs=1e-3), "of scikit-learn's digits"
    mean.fill("9")
    mean.press("Enter")
    page.get_by_text("Not the statistics that it was trained with").wait_for()
    assert page.get_by_text(f"with its own it says {own[0]} ({own[1]}%)").is_visible()
    page.get_by_role("button", name="Reset to its own").click()
    page.get_by_text("Not the statistics that it was trained with").wait_for(state="detached")
    assert mean.input_value() == before and answer(page) == own


@pytest.mark.slow
def test_uploads_of_any_kind_are_read_or_refused_in_one_line(loaded_address, open_page, shot):
    page = open_page(f"{loaded_address}/draw", 390, "dark")
    page.get_by_text("Upload", exact=True).click()
    huge = encoded(Image.new("1", (10_000, 10_000)))
    for name, content, message in (
        ("letter.txt", b"Dear network", "letter.txt: not an image; expected PNG"),
        ("huge.png", huge, "huge.png: 10,000 × 10,000 pixels, expected at most 50,000,000"),
        ("dot.png", encoded(Image.new("L", (1, 1))), "dot.png: 1 × 1 pixels, expected at least 4 × 4"),
    ):
        upload(page, name, content)
        page.get_by_test_id("stAlert").get_by_text(message).wait_for()
        assert page.get_by_role("heading", name="What it says").count() == 0
    frames = [digit(), digit(light_on_dark=True)]
    clear = digit(mode="RGBA")
    clear.putalpha(digit(light_on_dark=True))
    for name, content, said in (
        (
            "moving.gif",
            encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
            "first of 2 frames",
        ),
        ("print.jpg", encoded(digit(mode="CMYK"), "JPEG"), "CMYK made RGB"),
        (
            "clear.png",
            encoded(clear),
            "transparent parts made white; inverted: scikit-learn's digits are light",
        ),
    ):
        upload(page, name, content)
        page.get_by_text(said).wait_for()
        assert answer(page)[1] >= 10
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    shot(page, "draw-dark-390")


@pytest.mark.slow  # a server of its own, which imports torch
def test_bad_checkpoints_and_strange_names_are_said_and_the_page_goes_on(own_runs, open_page):
    names = {run_id: own_runs / run_id for run_id in run_cache.trained_runs(str(own_runs))}
    torn, strange, *_ = names
    (names[torn] / "checkpoints" / "last.ckpt").write_bytes(b"PK\x03\x04 torn")
    result = json.loads((names[strange] / "result.json").read_text())
    result["axes"]["model"] = "<img src=x onerror=alert(1)>"
    (names[strange] / "result.json").write_text(json.dumps(result))
    with serving(own_runs) as address:
        page = open_page(f"{address}/draw?run={torn}")
        page.get_by_test_id("stAlert").get_by_text("last.ckpt: not a readable checkpoint").wait_for(
            timeout=90_000
        )
        page.get_by_role("combobox", name="Trained network").click()
        page.get_by_role("option", name="<img src=x onerror=alert(1)>").click()
        page.get_by_text("This network knows: 0, 1, 2").wait_for()
        assert page.locator("img[src=x]").count() == 0
        page = open_page(f"{address}/draw?run=<b>none</b>")
        page.get_by_test_id("stAlert").get_by_text("<b>none</b> is not there").wait_for()


# Without a browser


def test_what_is_no_checkpoint_of_ours_is_named(own_runs):
    folder = own_runs / next(iter(run_cache.trained_runs(str(own_runs))))
    path = folder / "checkpoints" / "last.ckpt"
    model, description = model_service.load_trained(folder)
    assert model(torch.zeros(1, *description["in_shape_CHW"])).shape == (1, 10)
    for content, message in (
        ({"trainlab": {"schema": 99}}, "schema 99, expected 1"),
        ({"state_dict": {}}, "not a checkpoint of trainlab"),
        (None, "has no checkpoint"),
    ):
        path.unlink()
        if content is not None:
            torch.save(content, path)
        with pytest.raises(RequestError, match=message):
            model_service.load_trained(folder)


def test_offered_are_runs_with_a_checkpoint_the_best_first(own_runs):
    offered = run_cache.trained_runs(str(own_runs))
    shares = [float(re.search(r"(\d+\.\d)%", label)[1]) for label in offered.values()]
    assert len(offered) >= 4 and shares == sorted(shares, reverse=True)
    best = next(iter(offered))
    shutil.rmtree(own_runs / best / "checkpoints")
    run_cache.trained_runs.clear()
    assert best not in run_cache.trained_runs(str(own_runs))
    assert run_cache.trained_runs(str(Path(own_runs) / "none")) == {}
