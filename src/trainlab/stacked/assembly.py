"""A stack: the models, optimizers, schedules and batches of B runs as one, taking steps together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from trainlab.build.optimizer import total_steps
from trainlab.data import ImageData
from trainlab.nn.normalization import NormalizedNetwork
from trainlab.settings import RunSettings
from trainlab.stacked.augmentation import stack_augmentations
from trainlab.stacked.data import StackedData, stack_data
from trainlab.stacked.evaluation import Evaluation, evaluate
from trainlab.stacked.normalization import StackedModel, stack_models
from trainlab.stacked.optimizer import StackedOptimizer, stack_optimizers
from trainlab.stacked.schedules import RunSchedule, lr_table
from trainlab.stacked.step import StackedStep, autocast_of, dtype_of
from trainlab.stacked.tuning import ConvolutionChoice, tune
from trainlab.stacked.update_rules import exact_dtype

MODEL_PREFIX = "model."
"""Of the model's tensors in a checkpoint."""


@dataclass(frozen=True)
class RunTensors:
    """What of one run lies in the stack: states of its model, optimizer and schedule (None: constant).

    random_states: where its random stream is, by the key of a checkpoint.
    """

    model: Mapping[str, Tensor]
    optimizer: Mapping[str, object]
    schedule: Mapping[str, object] | None
    random_states: Mapping[str, Tensor]


class Stack:
    """B runs that differ in values only: `step` trains all of them on their next batches.

    settings, images: of each run; what decides structure is the same in all.
    tuning: how each convolution is computed, by name, and what was measured.
    """

    def __init__(
        self,
        settings: Sequence[RunSettings],
        images: Sequence[ImageData],
        model: StackedModel,
        optimizer: StackedOptimizer,
        data: StackedData,
        device: torch.device,
    ) -> None:
        self.settings, self.images, self.device = list(settings), list(images), device
        self.model, self.optimizer, self.data = model, optimizer, data
        self.tuning: Mapping[str, ConvolutionChoice] = {}
        self.total_steps = total_steps(settings[0], images[0])
        self._schedules = [RunSchedule(own, self.total_steps) for own in settings]
        self.lr_TB = torch.stack([lr_table(own, self.total_steps) for own in settings], dim=1).to(device)
        self._augment = stack_augmentations(settings)
        self._autocast = autocast_of(settings[0].trainer.precision, device)
        smoothing = settings[0].trainer.label_smoothing
        self.step = StackedStep(model, optimizer, _clips_B(settings, device), smoothing, self._autocast)

    @classmethod
    def build(
        cls,
        settings: Sequence[RunSettings],
        images: Sequence[ImageData],
        models: Sequence[NormalizedNetwork],
        device: torch.device,
    ) -> "Stack":
        """The stack of these models at their first step, on the device, each layer in its fastest form there.

        Raises RequestError where the runs are unlike, by name.
        """
        precision = settings[0].trainer.precision
        model = stack_models(models).to(device, dtype_of(precision)).train()
        data = stack_data(settings, images, device)
        data.train.set_epoch(0)
        x_BNCHW, _ = data.train.gather(data.train.rows(0))
        with autocast_of(precision, device)():
            tuning = tune(model, x_BNCHW, Path(settings[0].paths.cache))
        optimizer = stack_optimizers(settings, _trainable(model))
        stack = cls(settings, images, model, optimizer, data, device)
        stack.tuning = tuning
        return stack

    @property
    def runs(self) -> int:
        """B."""
        return len(self.settings)

    def subset(self, indices: Sequence[int]) -> "Stack":
        """Some of the runs, in this order, as they are now; a copy."""
        model = self.model.subset(indices)
        settings, images = [self.settings[i] for i in indices], [self.images[i] for i in indices]
        optimizer = self.optimizer.subset(indices, _trainable(model))
        chosen = type(self)(settings, images, model, optimizer, self.data.subset(indices), self.device)
        chosen.tuning = self.tuning
        return chosen

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches (x_BNCHW, y_BN) of an epoch of training, from one of them on."""
        return self.data.train.batches(epoch, first_batch)

    def augment(self, x_BNCHW: Tensor, step: int) -> Tensor:
        """The batch as the runs' augmentations leave it at this step."""
        return x_BNCHW if self._augment is None else self._augment(x_BNCHW, step)

    def evaluate(self, split: str, indices: Sequence[int]) -> Evaluation:
        """Some of the runs on their own "val" or "test" split."""
        model, data = self.model, self.data
        if list(indices) != list(range(self.runs)):
            model, data = model.subset(indices), data.subset(indices)
        batches = (data.val if split == "val" else data.test).batches()
        return evaluate(model, batches, self.images[0].num_classes, self._autocast)

    def load(self, index: int, checkpoint: Mapping[str, object]) -> None:
        """Lets one run go on from a checkpoint, its own or that of the run alone."""
        state = checkpoint["state_dict"]
        assert isinstance(state, Mapping)
        model = {name.removeprefix(MODEL_PREFIX): tensor for name, tensor in state.items()}
        self.model.load_state_of_run(index, model)
        optimizers = checkpoint["optimizer_states"]
        assert isinstance(optimizers, Sequence)
        self.optimizer.load_state_of_run(index, optimizers[0])

    def tensors_of_run(self, index: int, step: int) -> RunTensors:
        """What a checkpoint of one run holds after so many steps."""
        schedule = self._schedules[index]
        return RunTensors(
            model={f"{MODEL_PREFIX}{name}": t.cpu() for name, t in self.model.state_of_run(index).items()},
            optimizer=self.optimizer.state_of_run(index, schedule.param_group(step)),
            schedule=schedule.state(step),
            random_states=self._random_states(index),
        )

    def _random_states(self, index: int) -> dict[str, Tensor]:
        state = self.model.network.random_state_of_run(index)
        if state is None:
            return {}
        return {"device_random_state" if self.device.type == "cuda" else "random_state": state}

    def start_streams(self, seeds_B: Sequence[int]) -> None:
        """Starts the random stream of each run, as a run alone does with each epoch."""
        self.model.network.seed_dropout(seeds_B)

    def resume_streams(self, checkpoints_B: Sequence[Mapping[str, object]]) -> None:
        """Each run draws on where its checkpoint was written, on the same kind of device."""
        key = "device_random_state" if self.device.type == "cuda" else "random_state"
        for index, checkpoint in enumerate(checkpoints_B):
            if isinstance(state := checkpoint.get(key), Tensor):
                self.model.network.load_random_state_of_run(index, state)

    @property
    def why_not_captured(self) -> str | None:
        """Why its step is no fixed sequence of device work; None where it is."""
        network = self.model.network
        if network.has_looped_modules:
            return "a module of the user's own is called for each run"
        return "dropout draws from a stream of each run" if network.has_dropout else None


def _clips_B(settings: Sequence[RunSettings], device: torch.device) -> Tensor | None:
    """The largest norm of each run's gradient; None where none is clipped."""
    clips = [own.trainer.gradient_clip for own in settings]
    if all(clip is None for clip in clips):
        return None
    exact = [torch.inf if clip is None else clip for clip in clips]
    return torch.tensor(exact, dtype=exact_dtype(device), device=device)


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
