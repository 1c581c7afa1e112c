"""The named pictures of `picture_catalogue`, drawn from data, from a network, or from a trained run.

Called in a process of its own: torch is imported inside the functions that need it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainlab.claims.picture_catalogue import PICTURES_OF_RUNS
from trainlab.data import ImageData, load_images
from trainlab.errors import RequestError
from trainlab.figures.batchnorm_arithmetic import batchnorm_figure
from trainlab.figures.block_diagram import BlockLayer, block_diagram
from trainlab.figures.kernel_response import kernel_response_figure, pooling_figure
from trainlab.figures.normalized_images import normalized_images_figure
from trainlab.figures.top_patches import MAPS, PATCHES, LayerPatches, TopPatch, top_patches_figure
from trainlab.runs.safe_files import write_atomically

if TYPE_CHECKING:
    from torch import nn

    from trainlab.models.feature_maps import ConvolutionView

MOVED_ROWS, MOVED_COLUMNS = -5, 3
"""How the first 7 is moved: up and to the right, within its margins."""
DOG = 5
"""Its class among those of CIFAR-10."""
IMAGES_SEARCHED = 300
LAYERS_SHOWN = 4


def write_picture(path: Path, name: str, root: Path, cache: Path, run: Path | None = None) -> None:
    """Draws the picture of this name into a file.

    root, cache: `paths.data` and `paths.cache`.
    run: the folder of a trained run, for a picture that needs one.

    Raises:
        RequestError: the data or the run are missing, or cannot be read.
        OSError: the file cannot be written.
    """
    if name not in PICTURES_OF_RUNS:
        svg = _DRAWN_FROM_DATA[name](root, cache)
    elif run is None:
        raise RequestError(f"picture {name}: expected a trained run to draw it from")
    else:
        svg = _edges_to_parts(run)
    write_atomically(path, svg)


def _kernel_on_a_7(root: Path, cache: Path) -> str:
    mnist = load_images("mnist", root, cache)
    seven = _example(mnist, 7)
    moved = np.roll(seven, (MOVED_ROWS, MOVED_COLUMNS), axis=(0, 1))
    return kernel_response_figure(
        [seven, moved, _example(mnist, 7, number=3), _example(mnist, 1)],
        ["a 7 of MNIST's test set", f"moved by {-MOVED_ROWS} and {MOVED_COLUMNS} pixels", "another 7", "a 1"],
    )


def _pooling_2x2(root: Path, cache: Path) -> str:
    return pooling_figure(_example(load_images("mnist", root, cache), 7))


def _batchnorm_planes(root: Path, cache: Path) -> str:
    mnist = load_images("mnist", root, cache)
    return batchnorm_figure([_example(mnist, 7), _example(mnist, 4)])


def _normalization_images(root: Path, cache: Path) -> str:
    photographs = load_images("cifar10", root, cache)
    copy = photographs.copy.partition(" (")[0]
    return normalized_images_figure(_example(photographs, DOG, number=1), f"a dog of CIFAR-10 ({copy})")


def _vgg16_blocks(root: Path, cache: Path) -> str:
    import torch

    from trainlab.models import VGG, anatomy

    with torch.device("meta"):
        network = VGG((3, 224, 224), num_classes=1000, depth=16)
    rows = anatomy(network, (3, 224, 224))
    layers = [BlockLayer(row.name, row.kernel, row.out_shape, row.parameters) for row in rows]
    total = sum(layer.parameters for layer in layers)
    return block_diagram(
        layers,
        "VGG-16, block by block",
        f"{total:,} parameters; in the bars: maps (or units) of each layer; bars are as high as the maps",
    )


_DRAWN_FROM_DATA: dict[str, Callable[[Path, Path], str]] = {
    "kernel_on_a_7": _kernel_on_a_7,
    "pooling_2x2": _pooling_2x2,
    "vgg16_blocks": _vgg16_blocks,
    "normalization_images": _normalization_images,
    "batchnorm_planes": _batchnorm_planes,
}


def _example(images: ImageData, label: int, number: int = 0) -> np.ndarray:
    """H × W, or H × W × 3: the test split's image of this label and number."""
    rows = images.test.index[np.flatnonzero(images.test.labels_N == label)]
    pixels_HWC = images.test.x_NHWC[rows[number]]
    return pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC


def _strongest_responses(
    model: "nn.Module", x_NHWC: np.ndarray
) -> tuple[dict[str, list[tuple[np.ndarray, np.ndarray]]], dict[str, tuple["ConvolutionView", int]]]:
    """Of each convolution, image by image the largest response of each map and its place; and its view, with
    the columns of its maps."""
    import torch

    from trainlab.models.feature_maps import feature_maps

    by_layer: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    fields: dict[str, tuple[ConvolutionView, int]] = {}
    for image_HWC in x_NHWC:
        x_1CHW = torch.from_numpy(image_HWC.transpose(2, 0, 1)[np.newaxis].copy())
        for view in feature_maps(model, x_1CHW):
            a_Fp = view.a_Fhw.flatten(1)
            by_layer.setdefault(view.name, []).append((a_Fp.amax(1).numpy(), a_Fp.argmax(1).numpy()))
            fields[view.name] = view, view.a_Fhw.shape[-1]
    return by_layer, fields


def _edges_to_parts(run: Path) -> str:
    """From the checkpoint of a run: for some maps of some layers, the pieces with the largest responses."""
    import torch

    from trainlab.build.data import load_data
    from trainlab.serving.saved_model import load_run_model

    torch.set_num_threads(1)
    model, description = load_run_model(run)
    data = load_data(description["settings"])
    x_NHWC = data.test.x_NHWC[data.test.index[:IMAGES_SEARCHED]]
    by_layer, fields = _strongest_responses(model, x_NHWC)
    if not by_layer:
        raise RequestError(f"picture edges_to_parts: the network of run {run.name} has no convolution")
    names = list(by_layer)
    at = np.unique(np.linspace(0, len(names) - 1, min(LAYERS_SHOWN, len(names))).round().astype(int))
    layers = []
    for name in (names[i] for i in at):
        view, columns = fields[name]
        best_NF = np.stack([best for best, _ in by_layer[name]])
        place_NF = np.stack([place for _, place in by_layer[name]])
        strongest = np.argsort(-np.sort(best_NF, axis=0)[-PATCHES:].mean(axis=0), kind="stable")[:MAPS]
        maps = []
        for number in strongest:
            patches = []
            for image in np.argsort(-best_NF[:, number], kind="stable")[:PATCHES]:
                row, column = divmod(int(place_NF[image, number]), columns)
                seen = view.pixels_seen_by((row, column), x_NHWC.shape[1:3])
                (top, left), (bottom, right) = seen or ((0, 0), x_NHWC.shape[1:3])
                patch = x_NHWC[image, top:bottom, left:right]
                patches.append(TopPatch(patch, float(best_NF[image, number])))
            maps.append(patches)
        size = (1, 1) if view.field is None else view.field.size
        layers.append(LayerPatches(name, (size[0], size[1]), maps))
    searched = f"{len(x_NHWC)} test images of {description['settings'].data.name}"
    return top_patches_figure(layers, f"run {run.name}; {searched}; a line a map")
