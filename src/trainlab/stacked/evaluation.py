"""Loss, accuracy and confusion matrix of each run of a stack on a split."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.stacked.normalization import StackedModel
from trainlab.stacked.step import image_losses


@dataclass(frozen=True)
class Evaluation:
    """On the CPU: loss_B (nats, float64), and counts_BKK (int64; row: the true class)."""

    loss_B: Tensor
    counts_BKK: Tensor

    @property
    def accuracy_B(self) -> Tensor:
        """Share 0..1 of the images; NaN for none."""
        return self.counts_BKK.diagonal(dim1=1, dim2=2).sum(1) / self.counts_BKK.sum((1, 2))


@torch.no_grad()
def evaluate(
    model: StackedModel,
    batches: Iterable[tuple[Tensor, Tensor]],
    num_classes: int,
    autocast: Callable[[], AbstractContextManager[object]],
) -> Evaluation:
    """Evaluates the runs on batches (x_BNCHW, y_BN); the model is in its former mode afterwards."""
    was_training = model.training
    model.eval()
    losses, counts, images = [], [], 0
    for x_BNCHW, y_BN in batches:
        with autocast():
            logits_BNK = model(x_BNCHW)
        losses.append(image_losses(logits_BNK, y_BN).sum(1, dtype=torch.float64))
        counts.append(_counts_BKK(logits_BNK.argmax(2), y_BN, num_classes))
        images += y_BN.shape[1]
    model.train(was_training)
    if not losses:
        runs = model.network.runs
        return Evaluation(
            torch.full((runs,), torch.nan).double(),
            torch.zeros(runs, num_classes, num_classes, dtype=torch.int64),
        )
    return Evaluation((torch.stack(losses).sum(0) / images).cpu(), torch.stack(counts).sum(0).cpu())


def _counts_BKK(predicted_BN: Tensor, y_BN: Tensor, num_classes: int) -> Tensor:
    """A product of indicators, which waits for nothing; counts of a batch are exact in float32."""
    true_BNK, predicted_BNK = (
        F.one_hot(labels_BN, num_classes).float() for labels_BN in (y_BN, predicted_BN)
    )
    return torch.bmm(true_BNK.transpose(1, 2), predicted_BNK).long()
