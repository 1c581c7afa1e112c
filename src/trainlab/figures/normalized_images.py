"""X and aX + b before and after normalization, as images: what normalization takes away, and what not.

Each image is normalized by its own mean and standard deviation, Y ↦ (Y − μ)/σ over all pixels and channels,
so that aX + b becomes what X becomes, for every a > 0 and every b. What is cut off at black or white, and
what is blurred, is no aX + b any more.

Legend: H × W pixels, C channels; pixels 0..255.
"""

from collections.abc import Callable, Mapping

import numpy as np

from trainlab.figures.svg_canvas import QUIET, SvgCanvas

SIDE = 120
SHOWN_RANGE = 2.5
"""A normalized value of −2.5 is drawn black, of 2.5 white."""


def blur(image_HWC: np.ndarray) -> np.ndarray:
    """Means over 5 × 5 pixels, the border repeated."""
    padded = np.pad(image_HWC, ((2, 2), (2, 2), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(0, 1)).mean(axis=(-2, -1))


CHANGES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "X": lambda x: x,
    "½X + 60: paler": lambda x: 0.5 * x + 60,
    "X + 100, cut at 255": lambda x: np.minimum(x + 100, 255),
    "X blurred": blur,
}


def normalize(image_HWC: np.ndarray) -> np.ndarray:
    """(Y − μ)/σ, with the mean and the standard deviation of the image itself."""
    return (image_HWC - image_HWC.mean()) / image_HWC.std()


def normalized_images_figure(image_HWC: np.ndarray, name: str) -> str:
    """SVG: an image, changed in four ways (a column each), before and after normalization."""
    original_HWC = image_HWC.astype(np.float64)
    target_HWC = normalize(original_HWC)
    canvas = SvgCanvas(12 + len(CHANGES) * (SIDE + 36), 446)
    canvas.title("X and aX + b, before and after normalization", f"{name}; μ and σ are of each image itself")
    canvas.text(12, 70, "before", size=13, weight="bold")
    canvas.text(12, 270, "after: (Y − μ)/σ", size=13, weight="bold")
    for number, (change, apply) in enumerate(CHANGES.items()):
        x = 12 + number * (SIDE + 36)
        changed_HWC = apply(original_HWC)
        normalized_HWC = normalize(changed_HWC)
        difference = float(np.abs(normalized_HWC - target_HWC).max())
        canvas.pixels(x, 80, SIDE, np.clip(changed_HWC, 0, 255).astype(np.uint8), change)
        canvas.text(x, 218, change)
        canvas.text(x, 234, f"μ {changed_HWC.mean():.0f}, σ {changed_HWC.std():.0f}", colour=QUIET)
        shown_HWC = 255 * (np.clip(normalized_HWC / SHOWN_RANGE, -1, 1) + 1) / 2
        canvas.pixels(x, 280, SIDE, shown_HWC.astype(np.uint8), f"{change}, normalized")
        canvas.text(x, 418, "unlike X's by at most", colour=QUIET)
        canvas.text(x, 434, f"{difference:.2f}", weight="bold" if difference > 0.005 else "normal")
    return canvas.render()
