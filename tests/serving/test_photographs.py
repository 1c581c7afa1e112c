"""Photographs of digits: strokes are found under any light and on ruled paper, and none where none are."""

from dataclasses import replace

import numpy as np
import photographs
import pytest
from photographs import Scene, photograph, random_scene, strokes_of, thinned
from PIL import Image
from scipy import ndimage

from trainlab.data import load_images
from trainlab.serving import evaluate
from trainlab.serving.predict import class_probabilities, pixels_as_tensor, preprocess_for_network
from trainlab.serving.preprocessing import NO_DIGIT, NO_STROKE, ONLY_A_DOT, preprocess_image
from trainlab.serving.saved_model import load_run_model
from trainlab.training.worker import run_config_file

SHAPE = (28, 28, 1)
EVEN = Scene(size=(480, 360), noise=1.0)
SCENES = {
    "even light": {},
    "grey paper": {"white": 120.0},
    "light that falls by 50": {"fall": 50.0},
    "light that falls by 100": {"fall": 100.0},
    "a shadow": {"shadow": 60.0},
    "light and shadow": {"fall": 80.0, "shadow": 50.0},
    "ruled paper": {"paper": "ruled", "tilt": 3.0},
    "ruled paper in uneven light": {"paper": "ruled", "tilt": -2.0, "fall": 70.0},
    "squared paper": {"paper": "squared", "tilt": 1.0, "fall": 40.0},
    "a pencil": {"ink": 0.65},
    "noise": {"noise": 8.0, "fall": 60.0},
}


def canvas(cover_HW):
    grey_HW = np.uint8(255 * cover_HW)
    return np.dstack([grey_HW] * 3 + [np.full_like(grey_HW, 255)])


def drawing(strokes, scene):
    """The same strokes as on the app's canvas."""
    return canvas(photographs._pen(strokes, scene))


def alike(one, other):
    """The correlation of two intakes' pixels, blurred: half a pixel aside is the same digit."""
    x, y = (ndimage.gaussian_filter(it.pixels_HWC[..., 0].astype(float), 1).ravel() for it in (one, other))
    return np.corrcoef(x, y)[0, 1]


@pytest.mark.parametrize("changes", SCENES.values(), ids=SCENES)
def test_a_photographed_digit_is_what_it_would_be_drawn(changes):
    rng = np.random.default_rng(7)
    for digit, centre in ((2, (0.3, 0.4)), (5, (0.6, 0.6)), (8, (0.68, 0.35))):
        strokes = strokes_of(digit, rng)
        scene = replace(EVEN, **changes, centre=centre, pen=0.09)
        taken = preprocess_image(photograph(strokes, scene, rng), "mnist", SHAPE)
        drawn = preprocess_image(drawing(strokes, scene), "mnist", SHAPE)
        assert taken.empty_reason is None
        assert alike(taken, drawn) > 0.9, f"{digit}"
        assert taken.box == pytest.approx(drawn.box, abs=8)


def test_chalk_on_a_board_is_seen_as_light_strokes():
    rng = np.random.default_rng(1)
    strokes, scene = strokes_of(3, rng), replace(EVEN, fall=40.0, ink=0.1, pen=0.09)
    paper = Image.open(photographs.io.BytesIO(photograph(strokes, scene, rng)))
    board = photographs.io.BytesIO()
    Image.fromarray(255 - np.asarray(paper)).save(board, "PNG")
    taken, drawn = (
        preprocess_image(it, "mnist", SHAPE) for it in (board.getvalue(), drawing(strokes, scene))
    )
    assert not any("inverted" in line for line in taken.steps)
    assert alike(taken, drawn) > 0.9


@pytest.mark.parametrize("changes", SCENES.values(), ids=SCENES)
def test_a_page_with_nothing_on_it_says_so(changes):
    page = photograph([], replace(EVEN, **changes), np.random.default_rng(2))
    taken = preprocess_image(page, "mnist", SHAPE)
    assert taken.empty_reason in (NO_STROKE, NO_DIGIT) and taken.box is None and not taken.pixels_HWC.any()


def test_a_click_is_no_digit_and_a_small_one_is_one():
    y_HW, x_HW = np.mgrid[0:280, 0:280]
    dot = (np.hypot(y_HW - 90, x_HW - 140) < 11).astype(float)
    assert preprocess_image(canvas(dot), "mnist", SHAPE).empty_reason == ONLY_A_DOT
    small = Scene(size=(280, 280), height=0.14, pen=0.12)
    assert (
        preprocess_image(drawing(strokes_of(1, np.random.default_rng(0)), small), "mnist", SHAPE).empty_reason
        is None
    )


# Measured with a network, `pytest -m slow -s tests/serving/test_photographs.py`


@pytest.fixture(scope="module")
def lenet(tmp_path_factory, real_root, real_cache):
    """A LeNet-5 after two epochs of MNIST: (model, its description, MNIST)."""
    from trainlab.config import compose, identify
    from trainlab.runs import RunFolder

    paths = {"data": real_root, "cache": real_cache, "runs": tmp_path_factory.mktemp("runs")}
    asked = ["model=lenet5", "data=mnist", "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=2"]
    asked += ["logger=none", "signals=off", *(f"paths.{name}={path}" for name, path in paths.items())]
    settings = identify(compose(asked))
    folder = RunFolder(paths["runs"] / settings.run_id)
    folder.write_settings(settings)
    assert run_config_file(folder.path / "config.yaml", None) == 0
    return *load_run_model(folder.path), load_images("mnist", real_root, real_cache)


def share_right(model, description, pictures, labels):
    right = 0
    for picture, label in zip(pictures, labels, strict=True):
        taken = preprocess_for_network(picture, description)
        if taken.empty_reason is None:
            right += int(class_probabilities(model, pixels_as_tensor(taken)).argmax()) == label
    return right / len(labels)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_photographed_digits_are_read(lenet):
    """200 photographs in random light, on random paper: pen strokes, and thinned test images of MNIST."""
    model, description, mnist = lenet
    rng, labels = np.random.default_rng(2026), np.arange(200) % 10
    photos = []
    for number, digit in enumerate(labels):
        scene = random_scene(rng)
        of_class = np.flatnonzero(mnist.test.y_N == digit)
        image_HW = mnist.test.x_NHWC[rng.choice(of_class), ..., 0]
        strokes = strokes_of(int(digit), rng) if number // 10 % 2 else thinned(image_HW, scene.pen)
        photos.append(photograph(strokes, scene, rng))
    share = share_right(model, description, photos, labels)
    print(f"photographed digits: {share:.1%} of {len(labels)} right")
    assert share >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_drawings_are_read_as_well_as_the_data_set(lenet):
    """Test images of MNIST, enlarged and anywhere on a canvas; digits drawn with a pen of any width."""
    model, description, mnist = lenet
    rng, labels = np.random.default_rng(2026), mnist.test.y_N[:1000]
    own = model(evaluate.torch.from_numpy(mnist.test.x_NHWC[:1000].copy()).permute(0, 3, 1, 2)).argmax(1)
    own_share = float((own.numpy() == labels).mean())
    enlarged = []
    for image_HWC in mnist.test.x_NHWC[:1000]:
        sheet = Image.new("L", (280, 280))
        place = rng.integers(0, 80, 2).tolist()
        sheet.paste(Image.fromarray(image_HWC[..., 0]).resize((200, 200), Image.Resampling.BICUBIC), place)
        enlarged.append(canvas(np.asarray(sheet) / 255))
    share = share_right(model, description, enlarged, labels)
    print(f"test images: {own_share:.1%} as they are, {share:.1%} on a canvas")
    assert share >= own_share - 0.01
    for pen in (0.04, 0.1, 0.15):
        drawn = [
            drawing(strokes_of(k % 10, rng), Scene(size=(280, 280), height=0.6, pen=pen)) for k in range(100)
        ]
        share = share_right(model, description, drawn, np.arange(100) % 10)
        print(f"drawn digits, pen {pen:.0%} of their height: {share:.0%} of 100 right")
        assert share >= 0.95
