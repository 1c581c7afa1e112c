"""Whether the labels follow from the images at all, asked of models that have nothing to do with the network.

Legend: N images, D pixels, K classes.
"""

from collections.abc import Mapping
from typing import Any

import torch

from trainlab.diagnosis.forecast.linear import LinearRun
from trainlab.diagnosis.forecast.sample import Sample
from trainlab.signals.probe import features, probe

MOST = 512
"""Images that are asked for: what is solved grows with their third power."""


def reference(sample: Sample, linearized: LinearRun | None) -> Mapping[str, Any]:
    """As `Evidence.reference`: what a kernel model on the pixels, and the network as if linear, are right on.

    The kernel model is asked for each image with the others as its training (leave one out).
    """
    x_ND, y_N = features(sample.all_x_NCHW[-MOST:], MOST), sample.all_y_N[-MOST:]
    classes = int(y_N.max()) + 1
    with torch.no_grad():
        right, permuted = probe(x_ND, y_N, classes)
    linear = linearized.end.accuracy if linearized is not None else 0.0
    return {
        "best_accuracy": max(float(right), linear),
        "permuted_accuracy": float(permuted),
        "images": len(y_N) - 1,
        "held_images": len(y_N),
        "classes": len(sample.classes),
    }
