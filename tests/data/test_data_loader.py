"""Batches: every image once an epoch, the same global batches for any number of ranks, exact resume."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainlab.data import Split
from trainlab.data.loader import BatchLoader
from trainlab.errors import RequestError


def numbered_split(images, spare=3):
    """A split of every second row; each image shows its own row number, and so does its label."""
    rows = np.arange(2 * images + spare)
    x_NHWC = np.zeros((len(rows), 2, 2, 3), dtype=np.uint8)
    x_NHWC[:, 0, 0, 0], x_NHWC[:, 0, 1, 1] = rows % 256, rows // 256
    return Split(x_NHWC, rows, rows[1::2][:images])


def numbers(batch):
    x_NCHW, y_N = batch
    shown = x_NCHW[:, 0, 0, 0].long() + 256 * x_NCHW[:, 1, 0, 1].long()
    assert torch.equal(shown, y_N)
    return y_N.tolist()


def epoch_of(loader):
    return [numbers(batch) for batch in loader]


loaders = {
    "images": st.integers(1, 60),
    "per_rank": st.integers(1, 9),
    "world_size": st.integers(1, 4),
    "seed": st.integers(0, 2**40),
    "epoch": st.integers(0, 1000),
}


@given(**loaders, device=st.sampled_from([None, "cpu"]))
def test_an_epoch_is_a_permutation(images, per_rank, world_size, seed, epoch, device):
    split = numbered_split(images)
    loader = BatchLoader(split, per_rank, shuffle=True, seed=seed, device=device)
    loader.set_epoch(epoch)
    batches = epoch_of(loader)
    assert sorted(itertools.chain(*batches)) == split.index.tolist()
    assert len(batches) == len(loader)
    assert all(len(batch) == per_rank for batch in batches[:-1])


@given(**loaders, shuffle=st.booleans(), drop_last=st.booleans())
def test_ranks_partition_each_global_batch(images, per_rank, world_size, seed, epoch, shuffle, drop_last):
    split, batch_size = numbered_split(images), per_rank * world_size
    if (drop_last and images < batch_size) or (shuffle and images < world_size):
        return
    options = {"shuffle": shuffle, "seed": seed, "drop_last": drop_last}
    alone = BatchLoader(split, batch_size, **options)
    ranks = [
        BatchLoader(split, batch_size, rank=r, world_size=world_size, **options) for r in range(world_size)
    ]
    for loader in (alone, *ranks):
        loader.set_epoch(epoch)
    per_rank_batches = [epoch_of(loader) for loader in ranks]
    assert [len(batches) for batches in per_rank_batches] == [len(loader) for loader in ranks]
    shares = itertools.zip_longest(*per_rank_batches, fillvalue=[])
    for whole, parts in zip(epoch_of(alone), shares, strict=True):
        assert sorted(whole) == sorted(itertools.chain(*parts))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert [whole[r::world_size] for r in range(world_size)] == list(parts)


@given(**loaders, stop=st.integers(0, 100))
def test_resume_continues_exactly(images, per_rank, world_size, seed, epoch, stop):
    split = numbered_split(images)
    loader = BatchLoader(split, per_rank, shuffle=True, seed=seed)
    loader.set_epoch(epoch)
    stop = stop % (len(loader) + 1)
    before = [numbers(batch) for batch in itertools.islice(loader, stop)]
    state = loader.state_dict()
    fresh = BatchLoader(split, per_rank, shuffle=True, seed=seed)
    fresh.load_state_dict(state)
    fresh.set_epoch(state["epoch"])  # Lightning does so as the epoch begins
    after = epoch_of(fresh)

    unbroken = BatchLoader(split, per_rank, shuffle=True, seed=seed)
    unbroken.set_epoch(epoch)
    this_epoch, next_epoch = epoch_of(unbroken), epoch_of(unbroken)
    assert before + after == (this_epoch if stop < len(loader) else this_epoch + next_epoch)
    assert epoch_of(fresh) == (next_epoch if stop < len(loader) else epoch_of(unbroken))


def test_the_order_is_of_seed_and_epoch_alone():
    split = numbered_split(50)

    def order(seed, epoch):
        loader = BatchLoader(split, 10, shuffle=True, seed=seed)
        loader.set_epoch(epoch)
        return epoch_of(loader)

    np.random.seed(1)
    torch.manual_seed(1)
    first = order(0, 0)
    np.random.seed(2)
    torch.manual_seed(2)
    assert order(0, 0) == first
    assert order(0, 1) != first
    assert order(1, 0) != first


def test_completed_epochs_go_on_and_broken_off_ones_repeat():
    loader = BatchLoader(numbered_split(20), 5, shuffle=True)
    first, second = epoch_of(loader), epoch_of(loader)
    assert first != second
    begun = [numbers(batch) for batch in itertools.islice(loader, 2)]
    assert epoch_of(loader)[:2] == begun
    loader.set_epoch(0)
    assert epoch_of(loader) == first


def test_evaluation_keeps_the_order_of_the_split():
    split = numbered_split(7)
    assert epoch_of(BatchLoader(split, 3)) == [[1, 3, 5], [7, 9, 11], [13]]


@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_batch_is_uint8_nchw_over_nhwc_memory(device):
    x_NCHW, y_N = next(iter(BatchLoader(numbered_split(9), 4, device=device)))
    assert (x_NCHW.shape, x_NCHW.dtype, y_N.dtype) == ((4, 3, 2, 2), torch.uint8, torch.int64)
    assert x_NCHW.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_is_the_readers_own():
    split = numbered_split(6)
    loader = BatchLoader(split, 3)
    x_NCHW, _ = next(iter(loader))
    x_NCHW.zero_()
    assert epoch_of(loader) == [[1, 3, 5], [7, 9, 11]]


def test_drop_last_leaves_out_another_rest_every_epoch():
    loader = BatchLoader(numbered_split(10), 4, shuffle=True, drop_last=True)
    assert len(loader) == 2
    kept = [frozenset(itertools.chain(*epoch_of(loader))) for _ in range(5)]
    assert all(len(images) == 8 for images in kept)
    assert len(set(kept)) > 1


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (10, {"batch_size": 0}, "data.batch_size: got 0, expected a positive multiple"),
        (10, {"batch_size": 5, "world_size": 2}, r"data.batch_size: got 5, .* multiple of the 2 device"),
        (3, {"batch_size": 4, "drop_last": True}, "data.batch_size: got 4, expected at most the split's 3"),
        (
            1,
            {"batch_size": 2, "world_size": 2, "shuffle": True},
            "data.train_size: got 1 images, expected at least 2",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(images, options, message):
    with pytest.raises(RequestError, match=message):
        BatchLoader(numbered_split(images), **options)


def test_an_empty_split_gives_no_batches():
    assert epoch_of(BatchLoader(numbered_split(0), 4)) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_a_gpu_equal_those_of_the_cpu():
    split = numbered_split(50)
    ways: list[dict[str, Any]] = [{}, {"pin_memory": True}, {"device": "cuda"}]
    plain, pinned, resident = (BatchLoader(split, 8, shuffle=True, **options) for options in ways)
    assert next(iter(pinned))[0].is_pinned()
    assert next(iter(resident))[0].is_cuda
    assert epoch_of(plain) == epoch_of(pinned) == [numbers((x.cpu(), y.cpu())) for x, y in resident]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**64))
def test_any_seed_is_taken(seed):
    assert len(epoch_of(BatchLoader(numbered_split(5), 2, shuffle=True, seed=seed))) == 3
