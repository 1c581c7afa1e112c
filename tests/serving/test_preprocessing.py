"""Someone's own image: read safely, made as the data set's images were made, and said so in words."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainlab.config.composer import compose
from trainlab.data.digits import Digits
from trainlab.data.encoded_images import MAX_PIXELS, decode_image
from trainlab.errors import RequestError
from trainlab.serving.digit_normalization import ink_of_drawing, to_digits_style, to_mnist_style
from trainlab.serving.predict import read_image
from trainlab.serving.preprocessing import NO_DIGIT, preprocess_image

MNIST, DIGITS, COLOUR = (28, 28, 1), (32, 32, 1), (32, 32, 3)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def seven(side=280, light_on_dark=True, at=(60, 40), size=150, width=16):
    """A drawn seven, two strokes."""
    image = np.zeros((side, side), np.uint8)
    top, left = at
    image[top : top + width, left : left + size * 2 // 3] = 255
    for i in range(size):
        middle = left + size * 2 // 3 - width - i // 3
        image[top + i, middle : middle + width] = 255
    return image if light_on_dark else 255 - image


def rgba(grey_HW, alpha=255):
    return np.dstack([grey_HW] * 3 + [np.full_like(grey_HW, alpha)])


# What was done is said


def test_a_drawing_is_put_where_mnist_has_its_digits():
    taken = preprocess_image(rgba(seven()), "mnist", MNIST)
    pixels_HW = taken.pixels_HWC[..., 0]
    rows, columns = np.nonzero(pixels_HW > 64)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    centre = [(pixels_HW * axis).sum() / pixels_HW.sum() for axis in np.indices(pixels_HW.shape)]
    assert centre == pytest.approx([14, 14], abs=0.6)
    assert pixels_HW.max() == 255 and taken.steps[0].startswith("scaled into 20 × 20")


@pytest.mark.parametrize("data", ["mnist", "digits"])
def test_place_size_and_sign_of_a_drawing_do_not_matter(data):
    small = preprocess_image(rgba(seven(at=(120, 150), size=90, width=10)), data, DIGITS)
    large = preprocess_image(rgba(seven(at=(10, 20), size=225, width=25)), data, DIGITS)
    dark = preprocess_image(rgba(seven(at=(10, 20), size=225, width=25, light_on_dark=False)), data, DIGITS)
    assert abs(small.pixels_HWC.astype(int) - large.pixels_HWC).mean() < 8
    assert (dark.pixels_HWC == large.pixels_HWC).all()
    assert any("inverted" in line for line in dark.steps)
    assert not any("inverted" in line for line in large.steps)


def test_a_thin_pen_gives_the_ink_that_scikit_learns_digits_have():
    for width in (3, 12, 40):
        counts = to_digits_style(ink_of_drawing(seven(width=width)))
        assert counts.shape == (8, 8) and counts.max() <= 16
        assert counts.mean() / 16 == pytest.approx(0.305, abs=0.03)
        assert counts[0].any() and counts[7].any(), "it spans all rows"


def test_images_of_the_data_set_itself_stay_as_they_are():
    own = Digits().find(Path()).read().test.images[:5]
    for image_HW in own:
        taken = preprocess_image(encoded(Image.fromarray(image_HW)), "digits", DIGITS)
        assert (taken.pixels_HWC[..., 0] == image_HW).all()
        assert taken.steps[0].startswith("left as it is")


def test_other_data_sets_fit_any_picture():
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 90, 3), dtype=np.uint8))
    taken = preprocess_image(encoded(photograph), "cifar10", COLOUR)
    assert taken.pixels_HWC.shape == COLOUR
    assert taken.steps == ("cropped about its centre", "resized from 90 × 48 to 32 × 32")
    grey = preprocess_image(encoded(photograph), "shapes_of_mine", (16, 16, 1))
    assert grey.pixels_HWC.shape == (16, 16, 1) and "colour made grey" in grey.steps


def test_clothing_on_white_is_inverted_and_no_more():
    shirt = np.full((56, 56), 255, np.uint8)
    shirt[10:46, 14:42] = 60
    taken = preprocess_image(encoded(Image.fromarray(shirt)), "fashion_mnist", MNIST)
    assert taken.steps == ("inverted: Fashion-MNIST is light on dark", "resized from 56 × 56 to 28 × 28")
    assert taken.pixels_HWC[14, 14, 0] == 195 and taken.pixels_HWC[0, 0, 0] == 0


def test_the_cut_out_is_told_in_pixels_of_the_photo_that_is_shown():
    taken = preprocess_image(rgba(seven(light_on_dark=False)), "mnist", MNIST)
    assert taken.preview.size == (280, 280) and taken.empty_reason is None
    assert taken.box == pytest.approx((40, 60, 140, 210), abs=4)
    large = np.kron(seven(light_on_dark=False), np.ones((8, 8), np.uint8))
    taken = preprocess_image(rgba(large), "mnist", MNIST)
    assert taken.preview.size == (1024, 1024)
    assert taken.box == pytest.approx([1024 / 280 * side for side in (40, 60, 140, 210)], abs=12)
    assert preprocess_image(rgba(large), "cifar10", COLOUR).box is None


# Files of all kinds


def test_cmyk_alpha_palette_and_deep_images_are_read():
    red = Image.new("RGB", (40, 40), (200, 30, 30))
    cmyk = decode_image(encoded(red.convert("CMYK"), "JPEG", quality=95), "a.jpg")
    assert cmyk.image.mode == "RGB" and "CMYK made RGB" in cmyk.steps
    assert np.asarray(cmyk.image).mean((0, 1)) == pytest.approx([200, 30, 30], abs=12)
    deep = Image.fromarray(np.full((8, 8), 32896, np.uint16))
    read = decode_image(encoded(deep), "deep.png")
    assert np.asarray(read.image).max() == 128 and "16 bits a pixel made 8" in read.steps
    floats = Image.fromarray(np.linspace(-3, 5, 64, dtype=np.float32).reshape(8, 8))
    read = decode_image(encoded(floats, "TIFF"), "f.tif")
    assert np.asarray(read.image).min() == 0 and np.asarray(read.image).max() == 255
    palette = decode_image(encoded(red.convert("P"), "GIF"), "p.gif")
    assert palette.image.mode == "RGB" and palette.steps == ()
    bits = decode_image(encoded(Image.new("1", (8, 8), 1)), "b.png")
    assert bits.image.mode == "L" and np.asarray(bits.image).min() == 255


@pytest.mark.parametrize(("ink", "behind"), [(20, "white"), (235, "black")])
def test_transparent_parts_stand_off_from_what_is_shown(ink, behind):
    drawing = np.zeros((50, 50, 4), np.uint8)
    drawing[20:30, 10:40] = (ink, ink, ink, 255)
    read = decode_image(encoded(Image.fromarray(drawing)), "t.png")
    assert read.steps == (f"transparent parts made {behind}",)
    assert np.asarray(read.image)[0, 0, 0] == (255 if behind == "white" else 0)
    opaque = decode_image(rgba(seven()), "the drawing")
    assert opaque.steps == ()


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.new("L", (30, 30), value) for value in (10, 120, 240)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    read = decode_image(moving, "a.gif")
    assert "the first of 3 frames" in read.steps and np.asarray(read.image).max() <= 12


def test_a_photograph_on_its_side_is_turned_upright():
    wide = Image.new("RGB", (40, 20), "white")
    exif = Image.Exif()
    exif[0x0112] = 6
    read = decode_image(encoded(wide, "JPEG", exif=exif), "p.jpg")
    assert read.image.size == (20, 40) and "turned upright, as its EXIF says" in read.steps


# What cannot be used is refused in one line


def bomb():
    """A PNG of 100 megapixels in a few hundred kilobytes."""
    return encoded(Image.new("1", (10_000, 10_000)), "PNG")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"%PDF-1.7 hello", "not an image; expected PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image; expected PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (encoded(Image.new("L", (1, 1))), "1 × 1 pixels, expected at least 4 × 4"),
        (encoded(Image.new("L", (3000, 2))), "3000 × 2 pixels, expected at least"),
        (encoded(Image.fromarray(seven()), "PNG")[:200], "not a readable image"),
        (encoded(Image.fromarray(seven()), "JPEG")[:400], "not a readable image"),
        (encoded(Image.new("RGBA", (30, 30), (0, 0, 0, 0))), "transparent throughout"),
    ],
)
def test_what_is_no_image_of_a_digit_is_refused_in_one_line(content, message):
    with pytest.raises(RequestError, match=message) as error:
        preprocess_image(content, "mnist", MNIST, "mine")
    assert "\n" not in str(error.value)


def test_a_hundred_megapixels_are_refused_before_they_are_decoded(monkeypatch, recwarn):
    content = bomb()
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(RequestError, match=f"10,000 × 10,000 pixels, expected at most {MAX_PIXELS:,}"):
        preprocess_image(content, "mnist", MNIST)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # PIL's own limit may come first
    with pytest.raises(RequestError, match="too many pixels"):
        preprocess_image(content, "mnist", MNIST)
    assert not recwarn.list


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"none\.png: no such file"):
        preprocess_image(tmp_path / "none.png", "mnist", MNIST, str(tmp_path / "none.png"))
    with pytest.raises(RequestError, match="not a readable image"):
        preprocess_image(tmp_path, "mnist", MNIST)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_blank_image_is_blank_and_says_so(level):
    taken = preprocess_image(encoded(Image.new("RGB", (30, 40), (level,) * 3)), "mnist", MNIST)
    assert not taken.pixels_HWC.any() and taken.steps[-1] == NO_DIGIT
    assert taken.empty_reason == NO_DIGIT and taken.box is None
    description: Any = {"in_shape_CHW": [1, 28, 28], "settings": compose(["data=mnist"])}
    with pytest.raises(RequestError, match="page: one colour throughout"):
        read_image(encoded(Image.new("L", (30, 40), level)), description, "page")


@pytest.mark.parametrize("draw", [to_mnist_style, to_digits_style])
@pytest.mark.parametrize("at", [(0, 0), (0, 19), (19, 5), (10, 10)])
def test_a_single_dot_anywhere_is_a_digit_too(draw, at):
    ink_HW = np.zeros((20, 20))
    ink_HW[at] = 1.0
    assert np.isfinite(draw(ink_HW)).all() and draw(ink_HW).max() > 0
