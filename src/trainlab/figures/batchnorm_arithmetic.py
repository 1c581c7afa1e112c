"""BatchNorm by hand, on planes small enough to print: one mean and one variance a channel.

Two images pass two kernels; of the two channels that come out, each has one plane an image. BatchNorm takes
the mean and the variance of a channel over all planes of it (N · H · W values), never over another channel:
x̂ = (x − μ)/√(σ² + ε), y = γ x̂ + β. With γ = √(σ² + ε) and β = μ the input comes back (Ioffe & Szegedy 2015,
section 3).

Legend: N images, C channels, H × W the planes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainlab.figures.image_tiles import gray_image
from trainlab.figures.svg_canvas import QUIET, SvgCanvas, decimal

EPSILON = 1e-5
PLANE = 4
"""The side of a plane, in values."""
KERNELS = {
    "ink (mean of 3 × 3)": np.full((3, 3), 1 / 9),
    "vertical edges": np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
}
CELL, STEP = 38, 176


@dataclass(frozen=True)
class BatchNormSteps:
    """What BatchNorm computes, step by step: a number a channel, and N × C × H × W values."""

    mean_C: np.ndarray
    variance_C: np.ndarray
    normalized_NCHW: np.ndarray
    output_NCHW: np.ndarray


def batchnorm_steps(
    x_NCHW: np.ndarray, gamma_C: npt.ArrayLike, beta_C: npt.ArrayLike, epsilon: float = EPSILON
) -> BatchNormSteps:
    """The algorithm of BatchNorm in training, on values of any size."""
    mean_C = x_NCHW.mean(axis=(0, 2, 3))
    variance_C = x_NCHW.var(axis=(0, 2, 3))
    centred_NCHW = x_NCHW - mean_C[:, np.newaxis, np.newaxis]
    normalized_NCHW = centred_NCHW / np.sqrt(variance_C + epsilon)[:, np.newaxis, np.newaxis]
    scale_C, shift_C = (np.asarray(part)[:, np.newaxis, np.newaxis] for part in (gamma_C, beta_C))
    return BatchNormSteps(mean_C, variance_C, normalized_NCHW, scale_C * normalized_NCHW + shift_C)


def edge_planes(images_NHW: Sequence[np.ndarray]) -> np.ndarray:
    """N × C × 4 × 4: each kernel's response on each image, pixels 0..1, averaged over equal parts."""
    planes = []
    for image in images_NHW:
        windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64) / 255, (3, 3))
        responses = [np.einsum("ijkl,kl->ij", windows, kernel) for kernel in KERNELS.values()]
        planes.append([_shrink(response) for response in responses])
    return np.array(planes)


def _shrink(response_HW: np.ndarray) -> np.ndarray:
    """4 × 4 means over equal parts; what is left over at the border is cut off."""
    part = min(response_HW.shape) // PLANE
    kept = response_HW[: part * PLANE, : part * PLANE]
    return kept.reshape(PLANE, part, PLANE, part).mean(axis=(1, 3))


def batchnorm_figure(images_NHW: Sequence[np.ndarray]) -> str:
    """SVG of two images: their planes, μ and σ² of each channel, x̂, and y with γ = 2, β = 1."""
    x_NCHW = edge_planes(images_NHW)
    steps = batchnorm_steps(x_NCHW, gamma_C=(2.0, 2.0), beta_C=(1.0, 1.0))
    values = x_NCHW.shape[0] * x_NCHW.shape[2] * x_NCHW.shape[3]
    block = 2 * STEP + 24
    canvas = SvgCanvas(12 + 4 * STEP + 150, 96 + 2 * block)
    canvas.title(
        "BatchNorm by hand: one mean and one variance a channel",
        f"over both images and all places: N·H·W = 2·4·4 = {values} values; 2 channels, so 2·2 = 4 "
        "parameters: γ and β of each",
    )
    heads = ("image", "x: a plane an image", "μ, σ²", "x̂ = (x − μ)/√(σ² + ε)", "y = 2 x̂ + 1")
    columns = (12, 12 + STEP, 12 + 2 * STEP, 12 + 2 * STEP + 140, 12 + 3 * STEP + 140)
    for x, head in zip(columns, heads, strict=True):
        canvas.text(x, 76, head, size=13)
    for channel, kernel in enumerate(KERNELS):
        top = 104 + channel * block
        canvas.text(12, top - 6, f"channel {channel + 1}: {kernel}", weight="bold")
        mean, variance = steps.mean_C[channel], steps.variance_C[channel]
        middle = top + STEP - 20
        canvas.text(columns[2], middle, f"μ = {decimal(float(mean), 3)}", size=13)
        canvas.text(columns[2], middle + 20, f"σ² = {variance:.3f}", size=13)
        canvas.text(columns[2], middle + 44, "of the two planes", colour=QUIET)
        canvas.text(columns[2], middle + 60, "on the left", colour=QUIET)
        parts = (x_NCHW, steps.normalized_NCHW, steps.output_NCHW)
        for part_NCHW, x, digits in zip(parts, (columns[1], columns[3], columns[4]), (2, 1, 1), strict=True):
            planes_NHW = part_NCHW[:, channel]
            for number, plane_HW in enumerate(planes_NHW):
                y = top + number * STEP
                canvas.cells(x, y, CELL, plane_HW, digits, largest=float(np.abs(planes_NHW).max()))
        for number, image in enumerate(images_NHW):
            canvas.pixels(12, top + number * STEP, 4 * CELL, gray_image(image[..., np.newaxis], 300), "image")
    return canvas.render()
