"""Cases that need no probability: images, labels and networks with which nothing can be learned.

Legend: N images, K classes.
"""

import torch
from torch import Tensor

from trainlab.errors import RequestError
from trainlab.forecast.answer import Forecast
from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.image_sample import ImageSample

DETACHED = (
    "no gradient gets from the logits back to a weight: the network detaches them (detach, no_grad, NumPy)"
)


def certain_forecast(network: FunctionalModel, sample: ImageSample) -> Forecast | None:
    """The forecast where it is certain, else None.

    Raises RequestError where the classes do not fit the network's logits.
    """
    if not network.weights:
        return Forecast(0.0, "no weight of the network is trainable", "no_trainable_gradient", remedy=None)
    certain = forecast_from_images(sample)
    if certain is not None:
        return certain
    # a pass as in training: what has no gradient there has none
    output = network.forward(sample.first.x_NCHW, network.leaf_weights(), sample.first.seed)
    if isinstance(output, Tensor) and not output.is_floating_point():
        description = f"the network gives classes ({output.dtype}) and no logits: argmax has no gradient"
        return Forecast(0.0, description, "no_trainable_gradient")
    logits_NK = network.check_logits(output, len(sample.first.y_N))
    low, high = int(sample.classes.min()), int(sample.classes.max())
    if low < 0 or high >= logits_NK.shape[1]:
        raise RequestError(f"preflight: got classes {low} to {high} for {logits_NK.shape[1]} logits")
    if not logits_NK.requires_grad:
        return Forecast(0.0, DETACHED, "no_trainable_gradient")
    not_finite = float((~torch.isfinite(logits_NK)).double().mean())
    if not_finite:
        description = f"{format_share(not_finite)} of the logits are not finite before the first step"
        return Forecast(0.0, description, "diverged", evidence={"not_finite": not_finite, "step": 0.0})
    return None


def forecast_from_images(sample: ImageSample) -> Forecast | None:
    """The same from the images and labels alone."""
    x_NCHW = sample.all_x_NCHW
    broken = ~torch.isfinite(x_NCHW)
    if broken.any():
        images_N = broken.flatten(1).any(1).nonzero().flatten()
        numbers = int(broken.sum())
        description = (
            f"{numbers} {'number' if numbers == 1 else 'numbers'} of the input (of {x_NCHW.numel()}) "
            f"{'is' if numbers == 1 else 'are'} not finite, first in image {int(images_N[0])}"
        )
        return Forecast(
            0.0, description, "input_out_of_scale", evidence={"not_finite": float(broken.double().mean())}
        )
    if bool((x_NCHW == x_NCHW[:1]).all()):
        evidence = {"input_std": float(x_NCHW[0].std(correction=0))}
        return Forecast(
            0.0, "every image enters the network as the same numbers", "constant_input", evidence=evidence
        )
    if len(sample.classes) == 1:
        description = f"all {len(x_NCHW)} images are of one class"
        return Forecast(0.0, description, "one_class", evidence={"classes": 1.0})
    return None


def format_share(value: float) -> str:
    """Per cent; "under 0.1%" where rounding would make it nothing."""
    return "under 0.1%" if 0 < value < 5e-4 else f"{value:.1%}"
