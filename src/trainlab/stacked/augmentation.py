"""Augmentation of the batches of all runs at once, each with the random numbers it would draw alone.

Legend: B runs, N images of a batch, C channels, H × W pixels.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self, TypeAlias

import torch
from torch import Tensor

from trainlab.build.data import build_augmentation, needs_place
from trainlab.build.seeding import seed_for
from trainlab.data.augment import apply_flip_crop, augment_generator, flip_crop
from trainlab.errors import RequestError
from trainlab.settings import Settings
from trainlab.stacked.ahead import Ahead

Augmentation: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]

STEPS_AT_ONCE = 32
"""For so many steps random numbers are drawn, and sent to the device, together."""


class StackedAugmentation:
    """`(x_BNCHW, step) -> x_BNCHW`: each run's own function, by the generator of its seed and the step.

    seeds: of each run, for augmentation; options: of each run, None where it has none.

    `flip_crop` is done to all runs at once, a user's own function to one run after the other. Where there is
    none of these (`is_capturable`), `apply` can be in a CUDA graph, and `choices` outside of it.
    """

    def __init__(self, seeds: Sequence[int], options: Sequence[Augmentation | None]) -> None:
        self._seeds, self._options = list(seeds), list(options)
        self._paddings = [0 if option is None else flip_crop_padding(option) for option in options]
        self._padding = max((padding for padding in self._paddings if padding is not None), default=0)
        self._drawn: dict[tuple[int, torch.device], Ahead[Tensor]] = {}
        self._placed: dict[tuple[int, torch.device], tuple[int, Tensor]] = {}

    @property
    def runs(self) -> int:
        """B."""
        return len(self._seeds)

    @property
    def is_capturable(self) -> bool:
        """Whether no run has a function of the user's own."""
        return None not in self._paddings

    def __call__(self, x_BNCHW: Tensor, step: int) -> Tensor:
        """The batch of training step `step` (0 is the first), augmented."""
        if self.is_capturable:
            return self.apply(x_BNCHW, self.choices(step, x_BNCHW.shape[1], x_BNCHW.device))
        return _stack([self._alone(run, x_BNCHW[run], step) for run in range(self.runs)])

    def choices(self, step: int, images: int, device: torch.device) -> Tensor:
        """What is done to each image in a step, (3, B, N) int16 on the device; see `draw_flip_crop`."""
        key, group = (images, device), step // STEPS_AT_ONCE
        if key not in self._placed or self._placed[key][0] != group:
            if key not in self._drawn:
                compute = partial(self._draw_group, images)
                self._drawn[key] = Ahead(compute, in_background=device.type == "cuda")
            self._placed[key] = group, _place(self._drawn[key](group), device)
        return self._placed[key][1][step % STEPS_AT_ONCE]

    def apply(self, x_BNCHW: Tensor, choices_3BN: Tensor) -> Tensor:
        """The batch as it was chosen: a pure function."""
        if x_BNCHW.device.type == "cpu":  # one run after the other stays in the processor's caches
            runs = zip(x_BNCHW, choices_3BN.unbind(1), strict=True)
            parts = [apply_flip_crop(x_NCHW, chosen_3N, self._padding) for x_NCHW, chosen_3N in runs]
            return torch.stack([x_NCHW.permute(0, 2, 3, 1) for x_NCHW in parts]).permute(0, 1, 4, 2, 3)
        augmented = apply_flip_crop(x_BNCHW.flatten(0, 1), choices_3BN.flatten(1), self._padding)
        return augmented.unflatten(0, x_BNCHW.shape[:2])

    def subset(self, indices: Sequence[int]) -> Self:
        """The augmentation of some of the runs, in this order."""
        return type(self)([self._seeds[run] for run in indices], [self._options[run] for run in indices])

    def _draw_group(self, images: int, group: int) -> Tensor:
        """The choices of STEPS_AT_ONCE steps, on the CPU, as `draw_flip_crop` has them; one seed draws once.

        They are for a border as wide as the widest of all runs, (S, 3, B, N).
        """
        place_of = {seed: place for place, seed in enumerate(dict.fromkeys(self._seeds))}
        drawn = torch.empty((STEPS_AT_ONCE, len(place_of), 3, images))
        for seed, place in place_of.items():
            for step in range(STEPS_AT_ONCE):
                generator = augment_generator(seed, group * STEPS_AT_ONCE + step)
                torch.rand((3, images), generator=generator, out=drawn[step, place])
        drawn = drawn[:, [place_of[seed] for seed in self._seeds]].movedim(1, 2)
        paddings = [padding or 0 for padding in self._paddings]
        is_some_B1 = torch.tensor([option is not None for option in self._options])[:, None]
        crops_B1 = torch.tensor([2.0 * padding + 1 for padding in paddings])[:, None]
        border_B1 = self._padding - torch.tensor(paddings, dtype=torch.int16)[:, None]
        chosen = (drawn * crops_B1).to(torch.int16) + border_B1
        chosen[:, 0] = (drawn[:, 0] < 0.5) & is_some_B1
        return chosen

    def _alone(self, run: int, x_NCHW: Tensor, step: int) -> Tensor:
        option = self._options[run]
        return x_NCHW if option is None else option(x_NCHW, augment_generator(self._seeds[run], step))


def stack_augmentations(settings: Sequence[Settings]) -> StackedAugmentation | None:
    """The augmentation of the runs' settings; None where no run has any.

    Raises RequestError for one that asks which images a batch holds.
    """
    options = [build_augmentation(own) for own in settings]
    if any(option is not None and needs_place(option) for option in options):
        raise RequestError(
            "augment of a stack: one that asks for `place` has no stacked form (sweep.stack=off)"
        )
    if all(option is None for option in options):
        return None
    return StackedAugmentation([seed_for(own.seed, "augment") for own in settings], options)


def flip_crop_padding(option: Augmentation) -> int | None:
    """The border of a `flip_crop` with fixed arguments; None for any other function."""
    if option is flip_crop:
        return int(inspect.signature(flip_crop).parameters["padding"].default)
    if not isinstance(option, partial) or option.func is not flip_crop or option.args:
        return None
    padding = option.keywords.get("padding", flip_crop_padding(flip_crop))
    is_all = set(option.keywords) <= {"padding"} and isinstance(padding, int) and padding >= 0
    return padding if is_all else None


def _place(chosen: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda":
        return chosen.to(device)
    return chosen.pin_memory().to(device, non_blocking=True)


def _stack(augmented: Sequence[Tensor]) -> Tensor:
    kinds = {(tuple(x.shape), x.dtype) for x in augmented}
    if len(kinds) > 1:
        found = " and ".join(f"{dtype} of shape {shape}" for shape, dtype in sorted(kinds, key=str))
        raise RequestError(f"augment of a stack: got {found}, expected one kind (or sweep.stack=off)")
    return torch.stack(list(augmented))
