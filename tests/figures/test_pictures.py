"""The named pictures: their arithmetic is right, and what they print is what was computed."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from trainlab.claims.picture_catalogue import PICTURES, PICTURES_OF_RUNS
from trainlab.claims.pictures import write_picture
from trainlab.errors import RequestError
from trainlab.figures.batchnorm_arithmetic import EPSILON, batchnorm_figure, batchnorm_steps
from trainlab.figures.block_diagram import BlockLayer, block_diagram, cut_into_blocks
from trainlab.figures.kernel_response import KERNEL_SIDE, convolve, cut_kernel, inner_curve, pooling_figure
from trainlab.figures.normalized_images import CHANGES, normalize, normalized_images_figure
from trainlab.figures.svg_canvas import decimal

DATA = Path(os.environ.get("TRAINLAB_DATA", Path(__file__).parents[3] / "shared" / "data")).absolute()
SEVEN = np.zeros((28, 28), np.uint8)
SEVEN[6:9, 6:22] = 255
SEVEN[6:24, 19:22] = 255
NOISE = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)


def words_of(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_kernel_is_that_of_the_inner_curve_and_answers_there_most():
    row, column = inner_curve(SEVEN)
    assert row <= 8 < row + KERNEL_SIDE and column < 19 < column + KERNEL_SIDE
    kernel = cut_kernel(SEVEN, (row, column))
    assert kernel.mean() == pytest.approx(0) and np.linalg.norm(kernel) == pytest.approx(1)
    response = convolve(SEVEN, kernel)
    assert np.unravel_index(response.argmax(), response.shape) == (row, column)
    moved = convolve(np.roll(SEVEN, (2, -3), axis=(0, 1)), kernel)
    assert np.unravel_index(moved.argmax(), moved.shape) == (row + 2, column - 3)


def test_the_response_is_that_of_a_convolution():
    kernel = cut_kernel(SEVEN, (5, 14))
    image, weight = (torch.from_numpy(part)[None, None].double() for part in (NOISE / 255, kernel))
    expected = nn.functional.conv2d(image, weight)[0, 0]
    np.testing.assert_allclose(convolve(NOISE, kernel), expected, atol=1e-12)


def test_pooling_prints_the_largest_and_the_mean_of_each_four():
    numbers = [float(word) for word in words_of(pooling_figure(SEVEN)) if re.fullmatch(r"\d+\.\d\d", word)]
    part, largest, means = np.split(np.array(numbers), [16, 20])
    windows = part.reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(4, 4)
    np.testing.assert_allclose(largest, windows.max(axis=1))
    np.testing.assert_allclose(means, windows.mean(axis=1), atol=0.01)
    assert "22 × 22 = 484 values becomes 11 × 11 = 121: a quarter" in pooling_figure(SEVEN)


def test_batchnorm_by_hand_is_batchnorm():
    x_NCHW = np.random.default_rng(0).normal(3, 2, (5, 3, 4, 6))
    gamma, beta = (0.5, 1.0, 2.0), (0.0, 1.0, -1.0)
    layer = nn.BatchNorm2d(3, eps=EPSILON).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(gamma))
        layer.bias.copy_(torch.tensor(beta))
        expected = layer(torch.from_numpy(x_NCHW))
    steps = batchnorm_steps(x_NCHW, gamma, beta)
    np.testing.assert_allclose(steps.output_NCHW, expected, atol=1e-9)
    undone = batchnorm_steps(x_NCHW, np.sqrt(steps.variance_C + EPSILON), steps.mean_C)
    np.testing.assert_allclose(undone.output_NCHW, x_NCHW, atol=1e-12)


def test_batchnorm_prints_its_numbers():
    words = words_of(batchnorm_figure([SEVEN, NOISE]))
    assert sum(bool(re.fullmatch(r"−?\d+\.\d+", word)) for word in words) == 3 * 2 * 2 * 16
    assert sum(word.startswith("μ = ") for word in words) == 2


def test_normalization_undoes_ax_plus_b_and_neither_clipping_nor_blur():
    photograph = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    original = photograph.astype(np.float64)
    apart = [np.abs(normalize(change(original)) - normalize(original)).max() for change in CHANGES.values()]
    assert apart[0] == 0 and apart[1] < 1e-12 and min(apart[2:]) > 0.1
    words = words_of(normalized_images_figure(photograph, "noise"))
    assert [word for word in words if re.fullmatch(r"\d\.\d\d", word)] == [f"{gap:.2f}" for gap in apart]


def test_blocks_are_cut_where_maps_change_their_size():
    layers = [
        BlockLayer("c1", (3, 3), (8, 16, 16), 80), BlockLayer("act1", None, (8, 16, 16), 0),
        BlockLayer("c2", (3, 3), (8, 16, 16), 584), BlockLayer("pool", (2, 2), (8, 8, 8), 0),
        BlockLayer("c3", (3, 3), (16, 8, 8), 1168), BlockLayer("dense", None, (10,), 10250),
    ]  # fmt: skip
    blocks = cut_into_blocks(layers)
    assert [[layer.name for layer in block.layers] for block in blocks] == [["c1", "c2"], ["c3"], ["dense"]]
    assert [block.is_pooled for block in blocks] == [True, False, False]
    words = words_of(block_diagram(layers, "Blocks", "of a test"))
    assert "2 × conv 3×3" in words and "10,250" in words and f"{100 * 10250 / 12082:.1f} % of all" in words


def test_vgg16_has_five_blocks(tmp_path):
    write_picture(tmp_path / "vgg.svg", "vgg16_blocks", tmp_path, tmp_path)
    words = words_of((tmp_path / "vgg.svg").read_text(encoding="utf-8"))
    assert words.count("pool") == 5 and "123,642,856" in words and "of 224×224" in words


@pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="no data sets (TRAINLAB_DATA)")
@pytest.mark.parametrize("name", sorted(set(PICTURES) - PICTURES_OF_RUNS - {"normalization_images"}))
def test_a_named_picture_is_drawn_from_the_data(name, tmp_path):
    write_picture(tmp_path / "picture.svg", name, DATA, tmp_path / "cache")
    svg = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    assert svg.startswith("<svg") and len(svg) < 200_000 and len(words_of(svg)) > 8


def test_a_picture_of_a_run_needs_one(tmp_path):
    with pytest.raises(RequestError, match="edges_to_parts: expected a trained run"):
        write_picture(tmp_path / "picture.svg", "edges_to_parts", tmp_path, tmp_path)


def test_edges_to_parts_shows_pieces_as_large_as_a_unit_sees(run, tmp_path):
    result, folder = run()
    write_picture(tmp_path / "picture.svg", "edges_to_parts", tmp_path, tmp_path, folder.path)
    svg = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    words = words_of(svg)
    assert sum(bool(re.fullmatch(r"a unit sees \d+ × \d+ pixels", word)) for word in words) == 2
    assert "a unit sees 3 × 3 pixels" in words and any(result.run_id in word for word in words)
    responses = [float(value) for value in re.findall(r"<title>response (-?\d+\.\d+)</title>", svg)]
    assert len(responses) == 2 * 3 * 6
    assert all(first >= last for first, last in zip(responses[::6], responses[5::6], strict=True))


def test_numbers_keep_their_sign_and_zero_has_none():
    assert [decimal(value, 2) for value in (-0.04, -0.004, 1.005, -1)] == ["−0.04", "0.00", "1.00", "−1.00"]
