"""Loss and accuracy of the training steps, kept on the device and read every so often.

Reading a number off a GPU waits for it, and a metric object costs a tenth of a small net's step; so the
losses of some 50 steps are kept as tensors and read at once. This is also where a loss that turns NaN or
infinite is found, with the exact step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class StepMeter:
    """Losses since the last `read`, and the running sums of the epoch."""

    pending: list[tuple[Tensor, int]] = field(default_factory=list)
    """Loss and number of images of each step since then."""
    predicted: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    counted: list[Tensor] = field(default_factory=list)
    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0

    def add(self, loss: Tensor, logits_NK: Tensor, y_N: Tensor) -> None:
        """One step: its mean loss (a scalar, in nats), what it predicted and what was right."""
        self.pending.append((loss, len(y_N)))
        self.predicted.append((logits_NK, y_N))

    def add_counted(self, outcome: Tensor, images: int) -> None:
        """One step whose right answers are counted already: `outcome` is (mean loss, right answers)."""
        self.pending.append((outcome[0], images))
        self.counted.append(outcome[1])

    def read(self, sum_over_processes: Callable[[Tensor], Tensor] | None = None) -> list[float]:
        """The losses of the steps since the last call, in order; adds them to the epoch's sums.

        `sum_over_processes` adds up a tensor over all processes that share a batch: a loss is then that of
        the whole batch, and not finite where it is not finite in one of them.
        """
        if not self.pending:
            return []
        losses = [loss for loss, _ in self.pending]
        samples = [images for _, images in self.pending]
        right = self._right_answers()
        self._clear_pending()
        dtype = torch.float64 if any(loss.dtype == torch.float64 for loss in losses) else losses[0].dtype
        loss_S = torch.stack([loss.to(dtype) for loss in losses])
        if sum_over_processes is not None:
            loss_S, samples, right = _reduce_over_processes(loss_S, samples, right, sum_over_processes)
        values = loss_S.cpu().double().tolist()  # there is no double on some devices
        self.count(values, samples, int(right))
        return values

    def count(self, losses: list[float], samples: list[int], correct: int) -> None:
        """Adds steps to the epoch's sums: mean loss and images of each, and right answers of all."""
        self.loss_sum += sum(loss * images for loss, images in zip(losses, samples, strict=True))
        self.correct += correct
        self.samples += sum(samples)

    def _right_answers(self) -> Tensor:
        right: list[Tensor] = []
        if self.predicted:
            logits, labels = zip(*self.predicted, strict=True)
            right.append((torch.cat(logits).argmax(dim=1) == torch.cat(labels)).sum())
        if self.counted:
            right.append(torch.stack(self.counted).sum())
        return torch.stack([count.to(right[0].dtype) for count in right]).sum()

    def _clear_pending(self) -> None:
        self.pending.clear()
        self.predicted.clear()
        self.counted.clear()

    def epoch(self) -> dict[str, float]:
        """Mean loss (nats) and accuracy (0..1) over the epoch so far, each batch as it was trained on."""
        samples = max(1, self.samples)
        return {"train/loss": self.loss_sum / samples, "train/acc": self.correct / samples}

    def reset(self) -> None:
        self.load_state_dict({"loss_sum": 0.0, "correct": 0, "samples": 0})

    def state_dict(self) -> dict[str, float]:
        """The epoch's sums, for a checkpoint in mid-epoch."""
        return {"loss_sum": self.loss_sum, "correct": self.correct, "samples": self.samples}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on where `state_dict` was taken."""
        self._clear_pending()
        self.loss_sum = state["loss_sum"]
        self.correct, self.samples = int(state["correct"]), int(state["samples"])


def _reduce_over_processes(
    loss_S: Tensor, samples: list[int], right: Tensor, sum_over_processes: Callable[[Tensor], Tensor]
) -> tuple[Tensor, list[int], Tensor]:
    """Mean loss a step, images a step and right answers, of all processes together, in one exchange."""
    samples_S = torch.tensor(samples, dtype=torch.float64, device=loss_S.device)
    # a process that the last batch left nothing for has no loss
    loss_sum_S = torch.where(samples_S > 0, loss_S.double() * samples_S, 0.0)
    sums = sum_over_processes(torch.cat([loss_sum_S, samples_S, right.double()[None]]))
    steps = len(samples)
    counts_S = sums[steps:-1]
    return sums[:steps] / counts_S, [int(count) for count in counts_S.tolist()], sums[-1]


def first_not_finite(losses: list[float]) -> int | None:
    """Index of the first NaN or infinite value, or None."""
    return next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
