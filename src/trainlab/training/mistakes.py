"""Where a trained network is surest and wrong: the worst mistakes on some images."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

BATCH = 256


class Mistake(NamedTuple):
    """An image by its place, its class, what it was taken for, and the probabilities of both."""

    index: int
    true: int
    predicted: int
    p_predicted: float
    p_true: float


@torch.inference_mode()
def worst(model: nn.Module, x_NHWC: np.ndarray, y_N: np.ndarray, most: int = 24) -> list[Mistake]:
    """The wrong predictions of a model (pixels x_NCHW 0..255 → logits_NK), the surest first."""
    found: list[Mistake] = []
    for start in range(0, len(x_NHWC), BATCH):
        x_NCHW = torch.from_numpy(np.array(x_NHWC[start : start + BATCH])).permute(0, 3, 1, 2)
        true_N = torch.as_tensor(np.array(y_N[start : start + BATCH]))
        p_NK = model(x_NCHW).float().softmax(dim=1)
        sure_N, predicted_N = p_NK.max(dim=1)
        for i in torch.nonzero(predicted_N != true_N).flatten().tolist():
            true, predicted = int(true_N[i]), int(predicted_N[i])
            found.append(Mistake(start + i, true, predicted, float(sure_N[i]), float(p_NK[i, true])))
    return sorted(found, key=lambda mistake: -mistake.p_predicted)[:most]
