"""How a run was set up, as far as a verdict or a remedy asks: plain values out of its frozen settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Setup:
    """`axes`: option names by axis. None: not known, or the run has no such thing."""

    axes: Mapping[str, Any] = field(default_factory=dict)
    depth: int | None = None
    num_classes: int | None = None
    batch_size: int | None = None
    train_size: int | None = None
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    norm_momentum: float | None = None
    gradient_clip: float | None = None
    max_epochs: int | None = None
    max_steps: int | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Setup":
        """From frozen settings; what they lack is None, so that half a record can be explained too."""
        data, trainer, optimizer = (_part(settings, name) for name in ("data", "trainer", "optimizer"))
        return cls(
            axes=_part(settings, "axes"),
            depth=settings.get("depth"),
            num_classes=data.get("num_classes"),
            batch_size=data.get("batch_size"),
            train_size=data.get("train_size"),
            lr=optimizer.get("lr"),
            momentum=optimizer.get("momentum"),
            weight_decay=optimizer.get("weight_decay"),
            norm_momentum=_part(_part(settings, "norm_layer"), "layer").get("momentum"),
            gradient_clip=trainer.get("gradient_clip"),
            max_epochs=trainer.get("max_epochs"),
            max_steps=trainer.get("max_steps"),
        )

    @property
    def has_batchnorm(self) -> bool:
        """Whether the network normalizes by its batch."""
        return str(self.axes.get("norm_layer") or "").startswith("batchnorm")

    @property
    def rescales_gradient(self) -> bool:
        """Whether the optimizer divides the gradient by its own size: its length then decides nothing."""
        return str(self.axes.get("optimizer") or "").startswith(("adam", "rmsprop"))


def _part(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = settings.get(name)
    return part if isinstance(part, Mapping) else {}
