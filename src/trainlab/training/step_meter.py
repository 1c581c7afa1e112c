"""Loss and accuracy of the training steps, kept on the device and read every so often.

Reading a number off a GPU waits for it, and a metric object costs a tenth of a small net's step; so the
losses of some 50 steps are kept as tensors and read at once. This is also where a loss that turns NaN or
infinite is found, with the exact step.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class StepMeter:
    """Losses since the last `read`, and the running sums of the epoch."""

    unread: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0

    def add(self, loss: Tensor, logits_NK: Tensor, y_N: Tensor) -> None:
        """One step: its mean loss (a scalar, in nats), what it predicted and what was right."""
        self.unread.append((loss, logits_NK, y_N))

    def read(self) -> list[float]:
        """The losses of the steps since the last call, in order; adds them to the epoch's sums."""
        if not self.unread:
            return []
        losses, logits, labels = zip(*self.unread, strict=True)
        self.unread.clear()
        values = torch.stack(losses).double().tolist()
        self.loss_sum += sum(value * len(y_N) for value, y_N in zip(values, labels, strict=True))
        self.correct += int((torch.cat(logits).argmax(dim=1) == torch.cat(labels)).sum())
        self.samples += sum(map(len, labels))
        return values

    def epoch(self) -> dict[str, float]:
        """Mean loss (nats) and accuracy (0..1) over the epoch so far, each batch as it was trained on."""
        samples = max(1, self.samples)
        return {"train/loss": self.loss_sum / samples, "train/acc": self.correct / samples}

    def reset(self) -> None:
        """A new epoch."""
        self.load_state_dict({"loss_sum": 0.0, "correct": 0, "samples": 0})

    def state_dict(self) -> dict[str, float]:
        """The epoch's sums, for a checkpoint in mid-epoch."""
        return {"loss_sum": self.loss_sum, "correct": self.correct, "samples": self.samples}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on where `state_dict` was taken."""
        self.unread.clear()
        self.loss_sum = state["loss_sum"]
        self.correct, self.samples = int(state["correct"]), int(state["samples"])


def first_not_finite(losses: list[float]) -> int | None:
    """Index of the first NaN or infinite value, or None."""
    return next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
