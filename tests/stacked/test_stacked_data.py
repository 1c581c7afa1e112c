"""Batches and augmentation of a stack, to the bit, against each run's own loader and generator."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainlab.build.data import build_augmentation, build_datamodule, load_data
from trainlab.build.seeding import seed_for
from trainlab.config import compose
from trainlab.data import Split
from trainlab.data.augment import apply_flip_crop, augment_generator, flip_crop
from trainlab.data.loader import BatchLoader
from trainlab.errors import RequestError
from trainlab.section import Component
from trainlab.stacked import data
from trainlab.stacked.ahead import Ahead
from trainlab.stacked.augmentation import STEPS_AT_ONCE, StackedAugmentation, stack_augmentations
from trainlab.stacked.data import ImageStore, StackedBatches, as_words, stack_data

CPU = torch.device("cpu")


def splits_of_one_array(runs, images, stored, shape_HWC, seed):
    generator = np.random.default_rng(seed)
    x_NHWC = generator.integers(0, 256, (stored, *shape_HWC), dtype=np.uint8)
    y_N = generator.integers(0, 10, stored)
    return [Split(x_NHWC, y_N, generator.permutation(stored)[:images]) for _ in range(runs)]


def same(stacked, singles):
    """That a batch of the stack is the runs' own batches, in memory of the same order."""
    x_BNCHW, y_BN = stacked
    for run, (x_NCHW, y_N) in enumerate(singles):
        assert torch.equal(x_BNCHW[run], x_NCHW)
        assert torch.equal(y_BN[run], y_N)
        assert x_BNCHW[run].is_contiguous(memory_format=torch.channels_last)
    assert (x_BNCHW.dtype, y_BN.dtype) == (torch.uint8, torch.int64)
    return True


stacks = {
    "runs": st.integers(1, 4),
    "images": st.integers(1, 40),
    "spare": st.integers(0, 9),
    "shape_HWC": st.sampled_from([(4, 4, 1), (5, 3, 1), (3, 3, 3), (2, 5, 1), (6, 4, 3)]),
    "batch_size": st.integers(1, 12),
    "drop_last": st.booleans(),
    "shuffle": st.booleans(),
    "seeds": st.lists(st.integers(0, 3), min_size=4, max_size=4),
    "epoch": st.integers(0, 5),
    "start": st.integers(0, 9),
    "on_device": st.booleans(),
}


@given(**stacks)
def test_batches_are_those_of_each_run(
    runs, images, spare, shape_HWC, batch_size, drop_last, shuffle, seeds, epoch, start, on_device
):
    drop_last = drop_last and images >= batch_size
    splits = splits_of_one_array(runs, images, images + spare, shape_HWC, seeds[0])
    loaders = [
        BatchLoader(split, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)
        for split, seed in zip(splits, seeds, strict=False)
    ]
    shared = ImageStore(splits, CPU, on_device=on_device)
    batches = StackedBatches(loaders, [shared.rows(split.index) for split in splits], shared)
    assert len(batches) == len(loaders[0])
    for number in (epoch, epoch + 1):
        for loader in loaders:
            loader.set_epoch(number)
        expected = [list(loader) for loader in loaders]
        found = list(batches.batches(number, start))
        assert len(found) == max(0, len(batches) - start)
        for step, batch in enumerate(found, start):
            assert same(batch, [own[step] for own in expected])


def test_a_batch_is_written_where_it_shall_be_and_rows_stay_in_place():
    splits = splits_of_one_array(2, 20, 25, (4, 4, 3), 0)
    loaders = [BatchLoader(split, 8, shuffle=True, seed=1) for split in splits]
    store = ImageStore(splits, CPU, on_device=True)
    batches = StackedBatches(loaders, [store.rows(split.index) for split in splits], store)
    batches.set_epoch(0)
    x, y, address = *batches.gather(batches.rows(0)), batches.rows_SBN.data_ptr()
    for epoch in (0, 1, 7):
        batches.set_epoch(epoch)
        batches.fill(1, x, y)
        assert same((x, y), [list(_at(loader, epoch))[1] for loader in loaders])
    assert batches.rows_SBN.data_ptr() == address
    assert batches.rows_SBN.shape == (2, 2, 8)
    assert batches.rows(2).shape == (2, 4)


def _at(loader, epoch):
    loader.set_epoch(epoch)
    return loader


def test_a_device_holds_images_only_if_they_fit(monkeypatch):
    splits = splits_of_one_array(2, 3, 1000, (4, 4, 1), 0)
    used = len(np.union1d(splits[0].index, splits[1].index))
    other_device = torch.device("meta")
    assert ImageStore(splits, other_device).is_on_device
    assert not ImageStore(splits, CPU).is_on_device
    monkeypatch.setattr(data, "ON_DEVICE_BYTES", used * 16)
    assert ImageStore(splits, other_device).is_on_device
    monkeypatch.setattr(data, "ON_DEVICE_BYTES", used * 16 - 1)
    assert not ImageStore(splits, other_device).is_on_device


def test_images_are_copied_by_the_widest_words_that_fit():
    for shape_HWC, words in (((28, 28, 1), 98), ((2, 2, 3), 3), ((3, 2, 1), 3), ((3, 3, 3), 27)):
        x_NHWC = torch.randint(0, 256, (5, *shape_HWC), dtype=torch.uint8)
        found = as_words(x_NHWC)
        assert found.shape == (5, words)
        assert torch.equal(found.view(torch.uint8).view(x_NHWC.shape), x_NHWC)


def test_unlike_splits_are_refused():
    splits = splits_of_one_array(2, 20, 25, (4, 4, 3), 0)
    other = splits_of_one_array(1, 20, 26, (4, 4, 3), 0)
    with pytest.raises(RequestError, match=r"got arrays of shapes \(25, 4, 4, 3\) and \(26, 4, 4, 3\)"):
        ImageStore([*splits, *other], CPU)
    store = ImageStore(splits, CPU)
    rows = [store.rows(split.index) for split in splits]
    with pytest.raises(RequestError, match=r"data.batch_size of a stack: got 4 and 5, expected one"):
        StackedBatches([BatchLoader(splits[0], 4), BatchLoader(splits[1], 5)], rows, store)
    short = replace(splits[1], index=splits[1].index[:-1])
    with pytest.raises(RequestError, match=r"images of a split of a stack: got 19 and 20"):
        StackedBatches([BatchLoader(splits[0], 4), BatchLoader(short, 4)], [rows[0], rows[1][:-1]], store)


# Whole runs


def settings_of(*overrides, seed=0, split_seed=0):
    return compose([
        "logger=none", "data=digits", "data.image_size=16", "data.train_size=70", "data.val_size=20",
        "data.test_size=33", "data.batch_size=16", f"seed={seed}", f"data.split_seed={split_seed}",
        *overrides,
    ])  # fmt: skip


@pytest.fixture(scope="module")
def three(shared_cache):
    """Runs of two seeds and two splits, and their data."""
    settings = [settings_of(seed=s, split_seed=t) for s, t in ((0, 0), (1, 0), (0, 5))]
    return settings, [load_data(own) for own in settings]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_data_of_settings_are_those_of_each_run(three, split):
    settings, images = three
    batches = getattr(stack_data(settings, images, CPU), split)
    modules = [build_datamodule(own, data) for own, data in zip(settings, images, strict=True)]
    loaders = [getattr(module, f"{split}_dataloader")() for module in modules]
    assert len(batches) == len(loaders[0]) == {"train": 4, "val": 2, "test": 3}[split]
    for epoch in (0, 1) if split == "train" else (0,):
        for loader in loaders:
            loader.set_epoch(epoch)
        for batch, *singles in zip(batches.batches(epoch), *loaders, strict=True):
            assert same(batch, singles)


def test_some_of_the_runs_go_on_in_mid_epoch(three):
    settings, images = three
    whole = stack_data(settings, images, CPU)
    rest = whole.subset([2, 0])
    assert (rest.train.runs, rest.val.runs, rest.test.runs) == (2, 2, 2)
    together = list(whole.train.batches(3, 2))
    for all_runs, two in zip(together, rest.train.batches(3, 2), strict=True):
        assert all(torch.equal(a[[2, 0]], b) for a, b in zip(all_runs, two, strict=True))


def test_data_of_two_sets_are_refused(three):
    settings, images = three
    other = replace(images[1], fingerprint="another")
    with pytest.raises(RequestError, match=r"data of a stack: got .*another.*, expected one data set"):
        stack_data(settings[:2], [images[0], other], CPU)


# Augmentation


def negative(x_NCHW, generator):
    """A user's own: some images as negatives."""
    chosen_N = torch.rand(len(x_NCHW), generator=generator) < 0.5
    return torch.where(chosen_N[:, None, None, None], 255 - x_NCHW, x_NCHW)


def halves(x_NCHW, generator):
    """A user's own, which changes the size."""
    return x_NCHW[:, :, ::2, ::2]


def own(function):
    return Component.model_validate(
        {"_target_": f"{__name__}.{function.__name__}", "_partial_": True}
    ).trusted()


def pixels(runs, images, shape_HWC=(5, 6, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    x_BNHWC = torch.randint(0, 256, (runs, images, *shape_HWC), dtype=torch.uint8, generator=generator)
    return x_BNHWC.permute(0, 1, 4, 2, 3)


def augmented_alone(settings, x_NCHW, step):
    function = build_augmentation(settings)
    generator = augment_generator(seed_for(settings.seed, "augment"), step)
    return x_NCHW if function is None else function(x_NCHW, generator)


def augmentation_of(settings):
    augment = stack_augmentations(settings)
    assert augment is not None
    return augment


FLIPS = [settings_of("augment=flip_crop", seed=seed) for seed in (0, 1, 0)]
PADDINGS = [settings_of("augment=flip_crop", f"augment.padding={p}", seed=p) for p in (0, 4, 2)]
SOME = [FLIPS[1], settings_of(seed=3), PADDINGS[2]]
WITH_OWN = [settings_of(seed=5).replace(augment=own(negative)), FLIPS[0], settings_of()]


@pytest.mark.parametrize(
    "settings", [FLIPS, PADDINGS, SOME, WITH_OWN], ids=["flips", "paddings", "some", "with one's own"]
)
@pytest.mark.parametrize("images", [1, 7])
def test_augmentation_is_that_of_each_run(settings, images):
    augment = augmentation_of(settings)
    assert augment.is_capturable == (settings is not WITH_OWN)
    x_BNCHW = pixels(len(settings), images)
    before = x_BNCHW.clone()
    for step in (0, 1, STEPS_AT_ONCE - 1, STEPS_AT_ONCE, 1000, 2):
        out_BNCHW = augment(x_BNCHW, step)
        for run, one in enumerate(settings):
            assert torch.equal(out_BNCHW[run], augmented_alone(one, x_BNCHW[run], step))
            assert out_BNCHW[run].is_contiguous(memory_format=torch.channels_last) or settings is WITH_OWN
    assert torch.equal(x_BNCHW, before)


@given(
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4),
    paddings=st.lists(st.sampled_from([None, 0, 1, 3]), min_size=4, max_size=4),
    images=st.integers(1, 5),
    shape_HWC=st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3])),
    step=st.integers(0, 10**6),
)
def test_any_crops_are_those_of_each_run(seeds, paddings, images, shape_HWC, step):
    options = [None if p is None else partial(flip_crop, padding=p) for p in paddings[: len(seeds)]]
    x_BNCHW = pixels(len(seeds), images, shape_HWC)
    out_BNCHW = StackedAugmentation(seeds, options)(x_BNCHW, step)
    for run, (seed, option) in enumerate(zip(seeds, options, strict=True)):
        expected = option(x_BNCHW[run], augment_generator(seed, step)) if option else x_BNCHW[run]
        assert torch.equal(out_BNCHW[run], expected)


def test_choices_and_their_application_are_apart():
    augment = augmentation_of(SOME)
    x_BNCHW = pixels(3, 4)
    choices_3BN = augment.choices(40, 4, CPU)
    assert choices_3BN.shape == (3, 3, 4)
    assert torch.equal(augment.apply(x_BNCHW, choices_3BN), augment(x_BNCHW, 40))


def test_a_whole_stack_is_cropped_at_once_as_run_by_run():
    """As it is done on a GPU."""
    augment, x_BNCHW = augmentation_of(PADDINGS), pixels(3, 4)
    choices_3BN = augment.choices(40, 4, CPU)
    joined = apply_flip_crop(x_BNCHW.flatten(0, 1), choices_3BN.flatten(1), 4).unflatten(0, (3, 4))
    assert torch.equal(joined, augment(x_BNCHW, 40))


def test_augmentation_of_some_of_the_runs():
    x_BNCHW = pixels(3, 4)
    whole = augmentation_of(SOME)
    rest = whole.subset([2, 0])
    assert rest.runs == 2
    assert torch.equal(rest(x_BNCHW[[2, 0]], 9), whole(x_BNCHW, 9)[[2, 0]])


def test_no_augmentation_is_none():
    assert stack_augmentations([settings_of(), settings_of(seed=1)]) is None


def test_one_that_asks_for_its_images_is_refused():
    asking = {"_target_": "trainlab.data.alternating_flip.alternating_flip", "_partial_": True}
    alike = settings_of().replace(augment=asking)
    with pytest.raises(RequestError, match=r"place.* has no stacked form"):
        stack_augmentations([alike, settings_of()])


def test_images_of_two_sizes_are_refused():
    augment = augmentation_of([settings_of().replace(augment=own(halves)), settings_of()])
    with pytest.raises(
        RequestError, match=r"augment of a stack: got torch.uint8 of shape .* and .*, expected"
    ):
        augment(pixels(2, 3), 0)


# What is computed ahead


def test_the_next_value_is_computed_in_the_background():
    asked = []

    def square(number):
        asked.append(number)
        return number**2

    ahead = Ahead(square, in_background=True)
    assert [ahead(number) for number in (3, 3, 4, 5, 9, 2)] == [9, 9, 16, 25, 81, 4]
    assert [asked.count(number) for number in (3, 4, 5)] == [1, 1, 1]
    assert Ahead(square, in_background=False)(7) == 49


def test_an_error_in_the_background_comes_when_the_value_is_asked_for():
    ahead = Ahead(lambda number: 1 // (1 - number), in_background=True)
    assert ahead(0) == 1
    with pytest.raises(ZeroDivisionError):
        ahead(1)
