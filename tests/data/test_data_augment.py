"""Augmentation: right by a slow twin, reproducible from (seed, step), on whole uint8 batches."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainlab.data.augment import augment_generator, flip_crop, none


def batch(images=8, channels=3, height=6, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x_NHWC = torch.randint(1, 256, (images, height, width, channels), dtype=torch.uint8, generator=generator)
    return x_NHWC.permute(0, 3, 1, 2)


def all_views(x_CHW, padding):
    """Every crop of the padded image and its mirror, by plain slices."""
    x = np.pad(x_CHW.numpy(), ((0, 0), (padding, padding), (padding, padding)))
    _, height, width = x_CHW.shape
    for down in range(2 * padding + 1):
        for right in range(2 * padding + 1):
            crop = x[:, down : down + height, right : right + width]
            yield crop
            yield crop[:, :, ::-1]


@given(
    images=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    padding=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
def test_each_image_is_one_of_its_views(images, channels, height, width, padding, seed):
    x_NCHW = batch(images, channels, height, width, seed)
    before = x_NCHW.clone()
    out_NCHW = flip_crop(x_NCHW, augment_generator(seed, 0), padding)
    assert (out_NCHW.shape, out_NCHW.dtype) == (x_NCHW.shape, torch.uint8)
    assert torch.equal(x_NCHW, before)
    for x_CHW, out_CHW in zip(x_NCHW, out_NCHW, strict=True):
        assert any((out_CHW.numpy() == view).all() for view in all_views(x_CHW, padding))


def test_every_view_is_equally_likely():
    x_CHW = batch(1)[0]
    views = {view.tobytes(): i for i, view in enumerate(all_views(x_CHW, 1))}
    drawn = 18_000
    out_NCHW = flip_crop(x_CHW.expand(drawn, -1, -1, -1), augment_generator(0, 0), 1)
    counts = np.bincount([views[out.numpy().tobytes()] for out in out_NCHW], minlength=18)
    assert len(views) == 18
    assert abs(counts - drawn / 18).max() < 5 * np.sqrt(drawn / 18)


def test_nothing_is_padded_or_cropped_but_mirrored_at_padding_0():
    x_NCHW = batch(64)
    out_NCHW = flip_crop(x_NCHW, augment_generator(0, 0), padding=0)
    mirrored = [torch.equal(out, x.flip(2)) for out, x in zip(out_NCHW, x_NCHW, strict=True)]
    same = [torch.equal(out, x) for out, x in zip(out_NCHW, x_NCHW, strict=True)]
    assert all(m or s for m, s in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_memory_stays_channels_last():
    assert flip_crop(batch(), augment_generator(0, 0)).is_contiguous(memory_format=torch.channels_last)


def test_step_seed_and_rank_decide_and_nothing_else():
    x_NCHW = batch(16)

    def augmented(*key):
        return flip_crop(x_NCHW, augment_generator(*key))

    torch.manual_seed(1)
    first = augmented(0, 7)
    torch.manual_seed(2)
    assert torch.equal(augmented(0, 7), first)
    for other in ((0, 8), (1, 7), (0, 7, 1)):
        assert not torch.equal(augmented(*other), first)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    flip_crop(batch(), augment_generator(0, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_none_is_the_batch_itself():
    x_NCHW = batch()
    assert none(x_NCHW, augment_generator(0, 0)) is x_NCHW


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_images_of_the_cpu():
    x_NCHW = batch(32)
    on_gpu = flip_crop(x_NCHW.cuda(), augment_generator(0, 3))
    assert torch.equal(on_gpu.cpu(), flip_crop(x_NCHW, augment_generator(0, 3)))
