"""Flips that alternate: each image both ways in two epochs, whatever the order, the batch or the resume."""

import numpy as np
import pytest
import torch

from trainlab.data.alternating_flip import BatchPlace, alternating_flip, is_mirrored
from trainlab.data.augment import augment_generator


def batch(images=8, channels=3, height=6, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x_NHWC = torch.randint(0, 256, (images, height, width, channels), dtype=torch.uint8, generator=generator)
    return x_NHWC.permute(0, 3, 1, 2)


def place(positions, epoch=0, seed=7):
    return BatchPlace(np.asarray(positions), epoch, seed)


def test_each_image_is_mirrored_in_every_other_epoch():
    by_epoch = [is_mirrored(place(np.arange(10_000), epoch)) for epoch in range(4)]
    assert (by_epoch[0] != by_epoch[1]).all()
    assert (by_epoch[0] == by_epoch[2]).all() and (by_epoch[1] == by_epoch[3]).all()
    assert by_epoch[0].mean() == pytest.approx(0.5, abs=0.02)


def test_the_bit_is_the_images_own_and_the_seeds():
    order = np.random.default_rng(0).permutation(1000)
    assert (is_mirrored(place(order)) == is_mirrored(place(np.arange(1000)))[order]).all()
    same = (is_mirrored(place(np.arange(10_000))) == is_mirrored(place(np.arange(10_000), seed=8))).mean()
    assert same == pytest.approx(0.5, abs=0.02)
    bits = is_mirrored(place(np.arange(10_000))).astype(float)
    assert abs(np.corrcoef(bits[:-1], bits[1:])[0, 1]) < 0.04


def test_images_are_mirrored_as_said_and_nothing_else_at_padding_0():
    x_NCHW = batch(64)
    for epoch in (0, 1):
        out = alternating_flip(x_NCHW, augment_generator(0, 0), padding=0, place=place(np.arange(64), epoch))
        for x, y, mirrored in zip(x_NCHW, out, is_mirrored(place(np.arange(64), epoch)), strict=True):
            assert torch.equal(y, x.flip(2) if mirrored else x)


def test_each_image_is_one_of_its_reflected_views():
    x_NCHW = batch(50)
    out_NCHW = alternating_flip(x_NCHW, augment_generator(3, 0), padding=2)
    seen = set()
    for x, y in zip(x_NCHW.numpy(), out_NCHW.numpy(), strict=True):
        padded = np.pad(x, ((0, 0), (2, 2), (2, 2)), mode="reflect")
        views = [padded[:, i : i + 6, j : j + 5] for i in range(5) for j in range(5)]
        [*found] = [k for k, v in enumerate([*views, *(v[:, :, ::-1] for v in views)]) if (v == y).all()]
        assert found
        seen.add(found[0])
    assert len(seen) > 20
    assert (out_NCHW.shape, out_NCHW.dtype) == (x_NCHW.shape, torch.uint8)


def test_as_many_numbers_are_drawn_with_and_without_a_place():
    first, second = augment_generator(0, 0), augment_generator(0, 0)
    alternating_flip(batch(), first)
    alternating_flip(batch(), second, place=place(range(8)))
    assert torch.equal(first.get_state(), second.get_state())
