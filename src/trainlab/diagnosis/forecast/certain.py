"""What needs no probability: images, labels and networks with which nothing can be learned."""

import torch

from trainlab.diagnosis.forecast.outcome import Forecast
from trainlab.diagnosis.forecast.sample import Sample
from trainlab.diagnosis.forecast.subject import Subject
from trainlab.errors import RequestError


def answer(subject: Subject, sample: Sample) -> Forecast | None:
    """The forecast where it is certain, else None.

    Raises RequestError where the classes do not fit the network's logits.
    """
    if not subject.weights:
        return Forecast(0.0, "no weight of the network is trainable", "no_trainable_gradient", remedy=None)
    x_NCHW = sample.all_x_NCHW
    broken = float((~torch.isfinite(x_NCHW)).double().mean())
    if broken:
        says = f"{broken:.1%} of the input's numbers are not finite"
        return Forecast(0.0, says, "input_out_of_scale", evidence={"not_finite": broken})
    if bool((x_NCHW == x_NCHW[:1]).all()):
        says = "every image enters the network as the same numbers"
        return Forecast(
            0.0, says, "constant_input", evidence={"input_std": float(x_NCHW[0].std(correction=0))}
        )
    if len(sample.classes) == 1:
        says = f"all {len(x_NCHW)} images are of one class"
        return Forecast(0.0, says, "one_class", evidence={"classes": 1.0})
    with torch.no_grad():
        logits_NK = subject.logits(sample.first.x_NCHW)
    low, high = int(sample.classes.min()), int(sample.classes.max())
    if low < 0 or high >= logits_NK.shape[1]:
        raise RequestError(f"preflight: got classes {low} to {high} for {logits_NK.shape[1]} logits")
    lost = float((~torch.isfinite(logits_NK)).double().mean())
    if lost:
        says = f"{lost:.1%} of the logits are not finite before the first step"
        return Forecast(0.0, says, "diverged", evidence={"not_finite": lost, "step": 0.0})
    return None
