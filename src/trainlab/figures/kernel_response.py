"""One kernel over several digits: where it responds, before and after ReLU, and what pooling keeps of it.

The kernel is cut out of one image, at the inner curve of its 7, so that what it looks for can be seen; a
network learns such kernels. It has mean 0 and length 1: a plain background gives 0 whatever its brightness.

Legend: H × W pixels, K × K the kernel's.
"""

from collections.abc import Sequence

import numpy as np

from trainlab.figures.image_tiles import gray_image_with_box, heatmap_image
from trainlab.figures.svg_canvas import QUIET, SvgCanvas

KERNEL_SIDE = 7
SIDE = 140
"""Of an image, in points."""


def inner_curve(image_HW: np.ndarray) -> tuple[int, int]:
    """The upper left corner of the window on a 7's inner curve: where the bar meets the stroke, from inside.

    That is the window with the most ink along its top and right border beside the least in the lower left.
    """
    ink_HW = image_HW.astype(np.float64) / 255
    side = KERNEL_SIDE
    scores = {}
    for row in range(ink_HW.shape[0] - side):
        for column in range(ink_HW.shape[1] - side):
            window = ink_HW[row : row + side, column : column + side]
            curve = window[:3].mean() + window[:, -3:].mean()
            scores[row, column] = curve - 2 * window[3:, :-3].mean()
    return max(scores, key=lambda corner: scores[corner])


def cut_kernel(image_HW: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """K × K: the window at `corner`, less its mean, over its length."""
    row, column = corner
    window_KK = image_HW[row : row + KERNEL_SIDE, column : column + KERNEL_SIDE].astype(np.float64) / 255
    centred_KK = window_KK - window_KK.mean()
    return centred_KK / np.linalg.norm(centred_KK)


def convolve(image_HW: np.ndarray, kernel_KK: np.ndarray) -> np.ndarray:
    """(H − K + 1) × (W − K + 1): what a convolution without padding and bias computes, pixels 0..1."""
    windows = np.lib.stride_tricks.sliding_window_view(image_HW.astype(np.float64) / 255, kernel_KK.shape)
    return np.einsum("ijkl,kl->ij", windows, kernel_KK)


def kernel_response_figure(images_NHW: Sequence[np.ndarray], names: Sequence[str]) -> str:
    """SVG: the first image with the window, the kernel, and for each image the response before and after
    ReLU, its strongest place framed in the image."""
    corner = inner_curve(images_NHW[0])
    kernel_KK = cut_kernel(images_NHW[0], corner)
    responses = [convolve(image, kernel_KK) for image in images_NHW]
    largest = max(float(np.abs(response).max()) for response in responses)
    row_height, left, top = SIDE + 34, 12, 84
    canvas = SvgCanvas(left + 4 * (SIDE + 30), top + row_height * len(images_NHW) + 10)
    canvas.title(
        "One kernel, cut from the inner curve of a 7",
        f"{KERNEL_SIDE} × {KERNEL_SIDE}, slid over all places of an image: {kernel_KK.size} shared weights",
    )
    columns = [left + number * (SIDE + 30) for number in range(4)]
    for x, head in zip(columns, ("image; frame: strongest", "kernel", "response", "after ReLU"), strict=True):
        canvas.text(x, top - 10, head, size=13)
    canvas.pixels(columns[1], top, SIDE, heatmap_image(kernel_KK, 2 * SIDE), "the kernel")
    canvas.text(columns[1], top + SIDE + 16, "blue −, orange +; mean 0", colour=QUIET)
    for number, (image, response, name) in enumerate(zip(images_NHW, responses, names, strict=True)):
        y = top + number * row_height
        best = np.unravel_index(int(response.argmax()), response.shape)
        place = (int(best[0]), int(best[1]))
        box = (place, (place[0] + KERNEL_SIDE, place[1] + KERNEL_SIDE))
        canvas.pixels(
            columns[0], y, SIDE, gray_image_with_box(image[..., np.newaxis], box, 2 * SIDE), f"{name}, framed"
        )
        canvas.text(columns[0], y + SIDE + 16, name, colour=QUIET)
        rectified = np.maximum(response, 0)
        canvas.pixels(columns[2], y, SIDE, heatmap_image(response, 2 * SIDE, largest), "the response")
        canvas.text(columns[2], y + SIDE + 16, f"largest {response.max():.2f}", colour=QUIET)
        canvas.pixels(columns[3], y, SIDE, heatmap_image(rectified, 2 * SIDE, largest), "after ReLU")
        zeros = f"{(rectified == 0).mean():.0%} of the map is 0".replace("%", " %")
        canvas.text(columns[3], y + SIDE + 16, zeros, colour=QUIET)
    return canvas.render()


def pooling_figure(image_HW: np.ndarray) -> str:
    """SVG: 4 × 4 values of the rectified response about its maximum, and their 2 × 2 maxima and means."""
    kernel_KK = cut_kernel(image_HW, inner_curve(image_HW))
    rectified_HW = np.maximum(convolve(image_HW, kernel_KK), 0)
    best = np.unravel_index(int(rectified_HW.argmax()), rectified_HW.shape)
    # windows of a 2 × 2 pooling start at even places
    row, column = (
        min(max(0, 2 * ((int(at) - 1) // 2)), n - 4) for at, n in zip(best, rectified_HW.shape, strict=True)
    )
    part_44 = rectified_HW[row : row + 4, column : column + 4]
    windows = part_44.reshape(2, 2, 2, 2).swapaxes(1, 2)
    largest_22, mean_22 = windows.max(axis=(2, 3)), windows.mean(axis=(2, 3))
    height, width = rectified_HW.shape
    canvas = SvgCanvas(640, 336)
    canvas.title(
        "2 × 2 pooling with numbers",
        f"a map of {height} × {width} = {height * width} values becomes {height // 2} × {width // 2} = "
        f"{height * width // 4}: a quarter",
    )
    top, cell = 88, 44
    canvas.text(12, top - 10, "the map after ReLU", size=13)
    framed = ((row, column), (row + 4, column + 4))
    scaled = (255 * rectified_HW / rectified_HW.max()).astype(np.uint8)
    canvas.pixels(12, top, 176, gray_image_with_box(scaled[..., np.newaxis], framed, 352), "the map")
    canvas.text(12, top + 196, "framed: the part beside it", colour=QUIET)
    canvas.text(216, top - 10, "4 × 4 of it", size=13)
    largest = float(part_44.max())
    canvas.cells(216, top, cell, part_44, digits=2, largest=largest)
    for i in (0, 1):
        for j in (0, 1):
            canvas.box(216 + 2 * j * cell, top + 2 * i * cell, 2 * cell, 2 * cell)
    canvas.arrow(400, top + 44, 436)
    canvas.arrow(400, top + 132, 436)
    canvas.text(446, top - 10, "the largest of each four", size=13)
    canvas.cells(446, top, cell, largest_22, digits=2, largest=largest)
    canvas.text(446, top + 112, "the mean of each four", size=13)
    canvas.cells(446, top + 122, cell, mean_22, digits=2, largest=largest)
    return canvas.render()
