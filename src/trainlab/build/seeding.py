"""One seed, several independent streams: init, data order, augmentation, dropout."""

import random

import numpy as np
import torch

STREAMS = ("init", "order", "augment", "dropout")


def seed_for(seed: int, stream: str, *position: int) -> int:
    """A seed of 32 bits for one stream of a run, at a position in it (epoch, step or rank).

    Uses numpy's SeedSequence, whose children are independent by design; the same arguments give the
    same seed on every machine. Being a function of the position and not of a generator's state, a run
    that is resumed draws what it would have drawn.
    """
    return int(np.random.SeedSequence([seed, STREAMS.index(stream), *position]).generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seeds Python, numpy and torch (all devices) in this process, and nothing in its environment."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
