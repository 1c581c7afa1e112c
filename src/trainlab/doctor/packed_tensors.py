"""Tensors in tuples, lists and dictionaries: those of a batch, and what a network gives."""

from collections.abc import Iterator, Mapping

from torch import Tensor

DEPTH = 3
"""How deep tensors are looked for."""

USUAL_NAMES = ("logits", "out", "output", "outputs", "prediction", "predictions")
"""Under which names an output of several has what the loss is taken from."""


def tensors_in(value: object, depth: int = DEPTH) -> Iterator[Tensor]:
    """All tensors in a value, in their order."""
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part, depth - 1)


def logits_of(output: object) -> Tensor | None:
    """The output, where it is one tensor or carries `logits`; None where the loss alone knows."""
    if isinstance(output, Tensor):
        return output
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    return logits if isinstance(logits, Tensor) else None


def main_output(value: object) -> Tensor | None:
    """The tensor that the loss is most likely taken from: by its name, else the first (N, K), else the first.

    None where no tensor of numbers has a gradient.
    """
    if isinstance(value, Mapping):
        named = [value[name] for name in USUAL_NAMES if name in value]
        value = named if named else value
    trained = [x for x in tensors_in(value) if x.is_floating_point() and x.requires_grad]
    return next((x for x in trained if x.dim() == 2), trained[0] if trained else None)
