"""Data sets changed on purpose: pixels in another order, training labels that are wrong.

What a network then still learns shows what it had relied on: neighbouring pixels, or labels that mean
something.
"""

import numpy as np

from trainlab.data.splits import rng


def permute_pixels(x_NHWC: np.ndarray, seed: int) -> np.ndarray:
    """The images with their positions in another order, the same one for all images and channels of a seed.

    A dense network cannot tell the difference; to a convolution no neighbour is one any more.
    """
    height, width = x_NHWC.shape[1:3]
    order = rng(seed, "pixel order").permutation(height * width)
    x_NPC = x_NHWC.reshape(len(x_NHWC), height * width, -1)
    return np.take(x_NPC, order, axis=1).reshape(x_NHWC.shape)


def mislabel(labels_N: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """The labels, a share of them replaced by one of the other classes, each as likely.

    Which ones, and by what, is the seed's; a larger share of the same seed holds a smaller one.
    """
    generator = rng(seed, "wrong labels")
    order, shift_N = generator.permutation(len(labels_N)), generator.integers(1, classes, len(labels_N))
    chosen = order[: round(share * len(labels_N))]
    wrong_N = labels_N.copy()
    wrong_N[chosen] = (labels_N[chosen] + shift_N[chosen]) % classes
    return wrong_N
