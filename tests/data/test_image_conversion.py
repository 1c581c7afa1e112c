"""One way from an opened image to pixels: training and `predict` show a network the same."""

import json

import numpy as np
import pytest
from bright_images import is_as_bright_as_its_labels_say, pets, png, write_pets
from PIL import Image

from trainlab.data import encoded_images
from trainlab.data.encoded_images import decode_image
from trainlab.data.image_conversion import BitDepth, to_pixels
from trainlab.errors import RequestError
from trainlab.serving.preprocessing import preprocess_image


def colours():
    ramp = np.linspace(0, 255, 12).astype(np.uint8)
    return Image.fromarray(
        np.dstack([np.tile(ramp, (12, 1)), np.tile(ramp[:, None], (1, 12)), np.full((12, 12), 90, np.uint8)])
    )


def transparent(mode):
    image = colours().convert("RGBA")
    alpha = np.zeros((12, 12), np.uint8)
    alpha[3:9, 3:9], alpha[2, 2:10] = 255, 120
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def deep(kind, top, bottom=0):
    values = np.linspace(bottom, top, 144).reshape(12, 12)
    return Image.fromarray(values.astype(kind))


def with_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return png(colours().crop((0, 0, 12, 6)), "JPEG", exif=exif)


GREY = colours().convert("L")
FORMATS = {
    "L": png(GREY), "1": png(GREY.convert("1")), "RGB": png(colours()), "P": png(colours().convert("P")),
    "RGB JPEG": png(colours(), "JPEG"), "CMYK": png(colours().convert("CMYK"), "JPEG"),
    "YCbCr": png(colours().convert("YCbCr"), "TIFF"), "LAB": png(colours().convert("LAB"), "TIFF"),
    "BMP": png(colours(), "BMP"), "PPM": png(colours(), "PPM"),
    "GIF": png(GREY, "GIF", save_all=True, append_images=[Image.new("L", (12, 12))] * 2),
    "WebP": png(colours(), "WEBP"), "RGBA WebP": png(transparent("RGBA"), "WEBP", lossless=True),
    "several pages": png(colours(), "TIFF", save_all=True, append_images=[Image.new("RGB", (12, 12))]),
    "EXIF": with_exif(), "LA": png(transparent("LA")), "RGBA": png(transparent("RGBA")),
    "P with transparency": png(transparent("P")), "L with transparency": png(GREY, transparency=0),
    "16 bits": png(deep(np.uint16, 65535)), "12 bits in 16": png(deep(np.uint16, 4095)),
    "8 bits in 16": png(deep(np.uint16, 255)), "I": png(deep(np.int32, 60000), "TIFF"),
    "I 0..255": png(deep(np.int32, 255), "TIFF"), "F 0..1": png(deep(np.float32, 1), "TIFF"),
    "F 0..255": png(deep(np.float32, 255), "TIFF"), "F 0..5": png(deep(np.float32, 5), "TIFF"),
    "F below 0": png(deep(np.float32, 50, -30), "TIFF"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_folders_parquet_and_predict_show_the_network_the_same(name, channels, tmp_path):
    """Of each format the pixels from a path, from parquet's bytes and of `predict` are equal, or refused."""
    content, shape = FORMATS[name], (8, 8, channels)
    path = tmp_path / "image"
    path.write_bytes(content)
    sources = {"folder": [("a", path)], "parquet": [("a", content)]}

    def of_training(source):
        return to_pixels(next(encoded_images.EncodedImages({"train": source}).decode("train")), shape)

    def depth():
        album = encoded_images.EncodedImages({"train": sources["folder"]})
        list(album.decode("train"))
        return album.used_bit_depth()

    try:
        shown = {kind: of_training(source) for kind, source in sources.items()}
    except RequestError:
        with pytest.raises(RequestError):
            preprocess_image(content, "mine", shape)
        return
    shown["predict"] = preprocess_image(path, "mine", shape, bit_depth=depth()).pixels_HWC
    assert (shown["folder"] == shown["parquet"]).all()
    assert (shown["folder"] == shown["predict"]).all()
    assert np.ptp(shown["predict"]) > 60, "nearly one colour"


def test_predict_has_the_depth_of_the_data_set(root, cache):
    """A dark picture among lighter ones of 12 bits stays dark, in training and for `predict`."""
    write_pets(root, save=lambda image: png(image.astype(np.uint16) * 16))
    data = pets(root, cache)
    assert is_as_bright_as_its_labels_say(data)
    assert data.notes == ("pictures of more than 8 bits a pixel: 4,095 is taken for white",)
    assert data.bit_depth is not None
    plain_depth = json.loads(json.dumps(data.bit_depth.as_plain()))
    dark = (root / "pets" / "train" / "a" / "0.png").read_bytes()
    taken = preprocess_image(dark, "image_folder", (8, 8, 1), bit_depth=BitDepth.from_plain(plain_depth))
    assert (taken.pixels_HWC == data.train.x_NHWC[0]).all()
    assert BitDepth.from_plain(None) is None


DEPTHS = {
    "full 16 bits": (np.uint16, 65535, 32896, 128),
    "12 bits": (np.uint16, 4095, 2056, 128),
    "8 bits": (np.uint16, 255, 128, 128),
    "floats to 1": (np.float32, 1.0, 0.5, 128),
    "floats to 255": (np.float32, 255.0, 128.5, 128),
    "32 bits": (np.int32, 2**31 - 1, 2**30, 64),
}


@pytest.mark.parametrize(("kind", "top", "value", "level"), DEPTHS.values(), ids=DEPTHS)
def test_what_is_white_is_said_by_the_largest_value(kind, top, value, level):
    image = Image.fromarray(np.array([[0, top], [value, value]], dtype=kind))
    read = np.asarray(decode_image(png(image, "TIFF"), "x", min_side=1).image)
    assert read[0, 0] == 0 and abs(int(read[1, 0]) - level) <= 1
    assert read[0, 1] == 255 or kind is np.int32


def test_values_that_were_hardly_meant_as_0_to_255_are_told(root, cache):
    write_pets(root, save=lambda image: png(image // 100))
    assert any("brighter than" in note for note in pets(root, cache).notes)
