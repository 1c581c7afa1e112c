"""Shapeset-3×2 (Glorot & Bengio 2010, section 2.1), as the authors' generator draws it.

One or two of triangle, parallelogram and ellipse on a 32 × 32 grey image, nine classes: which shapes are
there. The generator draws a single shape with probability 1/6, a mixed pair 1/9, a pair of one kind 1/18.
Grey 0..1 is stored as 0..255; `normalization=symmetric` gives the paper's −1..1.

Points are (x, y) in pixels, P = number of vertices, M = number of images. Everything is drawn for many
images at once; a rejected second object is drawn again for those images only.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trainlab.data import splits
from trainlab.data.dataset_sources import DatasetHandle, Decoded, Examples
from trainlab.errors import RequestError

SIZE = 32
KINDS = ("triangle", "parallelogram", "ellipse")
VERTICES_K = np.array([3, 4, 20])
CLASSES = (*KINDS, *(f"{KINDS[i]} + {KINDS[j]}" for i in range(3) for j in range(i, 3)))
PAIR_CLASS = np.array([[3, 4, 5], [4, 6, 7], [5, 7, 8]])
SCALES = (0.2 * SIZE, 0.8 * SIZE)
MARGIN = 1.0
MAX_OVERLAP = 0.5
MAX_REJECTIONS = 50
BLOCK = 1000
"""Images are drawn in blocks with a stream each: a larger set begins with the smaller one."""
VERSION = 1
"""Raised whenever the pixels change: it is part of the fingerprint."""


@dataclass(frozen=True)
class Shapeset:
    """The generated data set: a seed gives the same images anywhere; the test split has its own stream."""

    train_images: int = 10_000
    test_images: int = 2_000
    seed: int = 0

    def find(self, root: Path) -> DatasetHandle:
        """Needs no files; `root` is not used. RequestError for fewer than one image or a negative seed."""
        for name, least in (("train_images", 1), ("test_images", 1), ("seed", 0)):
            if (got := getattr(self, name)) < least:
                raise RequestError(f"data.{name}: got {got}, expected an integer of at least {least}")
        return DatasetHandle(
            copy="generated", read=self._read, recipe=f"shapeset {VERSION}: {self}", shape_HWC=(SIZE, SIZE, 1)
        )

    def _read(self) -> Decoded:
        train = generate(self.train_images, self.seed, "train")
        test = generate(self.test_images, self.seed, "test")
        return Decoded(Examples(*train), Examples(*test), CLASSES)


def generate(images: int, seed: int, stream: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """x_NHW (uint8) and y_N (int64, index into CLASSES)."""
    blocks = [_block(splits.rng(seed, stream, first)) for first in range(0, images, BLOCK)]
    x_NHW, y_N = (np.concatenate(part)[:images] for part in zip(*blocks, strict=True))
    return x_NHW, y_N


@dataclass(frozen=True)
class Objects:
    """M objects, one per image: kind, rotations, and where the dice put them."""

    kind_M: np.ndarray
    theta1_M: np.ndarray
    theta3_M: np.ndarray
    scale_M2: np.ndarray  # larger first
    vertices_MP2: np.ndarray  # about the centre
    centre_M2: np.ndarray

    @property
    def area_M(self) -> np.ndarray:
        """s₀·s₁·aₙ with aₙ = n·sin(2π/n)/(2π): the area in units of π/4."""
        n = VERTICES_K[self.kind_M]
        return self.scale_M2.prod(axis=1) * n * np.sin(2 * np.pi / n) / (2 * np.pi)


def _block(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """BLOCK images and their labels."""
    two_M = rng.random(BLOCK) < 0.5
    first, second = _new_objects(rng), _new_objects(rng)
    clash_M = two_M & (_overlap(first, second) > MAX_OVERLAP)
    for _ in range(MAX_REJECTIONS - 1):
        if not clash_M.any():
            break
        second = _redraw_placement(second, clash_M, rng)
        clash_M = two_M & (_overlap(first, second) > MAX_OVERLAP)
    two_M &= ~clash_M  # what never fitted is dropped
    y_M = np.where(two_M, PAIR_CLASS[first.kind_M, second.kind_M], first.kind_M)

    grey_M = rng.uniform(0, 0.45, BLOCK)
    image_MHW = np.broadcast_to(grey_M[:, None, None], (BLOCK, SIZE, SIZE))
    for shape, drawn_M in ((first, np.ones(BLOCK, dtype=bool)), (second, two_M)):
        foreground_M = rng.uniform(0.55, 1, BLOCK)
        inside_MHW = _inside_mask(shape) & drawn_M[:, None, None]
        image_MHW = np.where(inside_MHW, foreground_M[:, None, None], image_MHW)
    swapped_M = rng.random(BLOCK) < 0.5
    image_MHW = np.where(swapped_M[:, None, None], 1 - image_MHW, image_MHW)
    return np.rint(255 * image_MHW).astype(np.uint8), y_M


def _new_objects(rng: np.random.Generator) -> Objects:
    kind_M = rng.integers(0, 3, BLOCK)
    bound_M = np.pi / VERTICES_K[kind_M]
    theta1_M, theta3_M = rng.uniform(-bound_M, bound_M), rng.uniform(0, 2 * np.pi, BLOCK)
    return Objects(kind_M, theta1_M, theta3_M, *_draw_placement(kind_M, theta1_M, theta3_M, rng))


def _redraw_placement(objects: Objects, again_M: np.ndarray, rng: np.random.Generator) -> Objects:
    """Other scales and another position for some of the objects; kind and rotations stay."""
    scale_M2, vertices_MP2, centre_M2 = (
        a.copy() for a in (objects.scale_M2, objects.vertices_MP2, objects.centre_M2)
    )
    drawn = _draw_placement(
        objects.kind_M[again_M], objects.theta1_M[again_M], objects.theta3_M[again_M], rng
    )
    scale_M2[again_M], vertices_MP2[again_M], centre_M2[again_M] = drawn
    return replace(objects, scale_M2=scale_M2, vertices_MP2=vertices_MP2, centre_M2=centre_M2)


def _draw_placement(
    kind_M: np.ndarray, theta1_M: np.ndarray, theta3_M: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scales, vertices about the centre: P' = P·R(θ₁)·diag(s)·R(θ₂)·R(θ₃), and a centre that fits the image.

    θ₂ = −atan((s₁/s₀)·tan θ₁) turns the first axis back to where it was before the scaling.
    """
    scale_M2 = -np.sort(-rng.uniform(*SCALES, (len(kind_M), 2)), axis=1)
    theta2_M = -np.arctan(scale_M2[:, 1] / scale_M2[:, 0] * np.tan(theta1_M))
    stretched_MP2 = UNIT_KP2[kind_M] @ _rotation(theta1_M) * scale_M2[:, None, :]
    vertices_MP2 = stretched_MP2 @ _rotation(theta2_M) @ _rotation(theta3_M)
    lowest_M2 = MARGIN - vertices_MP2.min(axis=1)
    highest_M2 = SIZE - MARGIN - vertices_MP2.max(axis=1)
    return scale_M2, vertices_MP2, rng.uniform(lowest_M2, highest_M2)


def _rotation(theta_M: np.ndarray) -> np.ndarray:
    """R(θ) for row vectors, M × 2 × 2."""
    cos, sin = np.cos(theta_M), np.sin(theta_M)
    return np.stack([np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)], axis=-2)


def _unit_vertices() -> np.ndarray:
    """v_t = ½(cos, sin)(2π(t/n + 1/(2n) + ¼)) of each kind; the last one repeats up to a common P."""
    most = VERTICES_K.max()
    t_KP = np.minimum(np.arange(most), VERTICES_K[:, None] - 1)
    n_K1 = VERTICES_K[:, None]
    angle_KP = 2 * np.pi * (t_KP / n_K1 + 1 / (2 * n_K1) + 1 / 4)
    return 0.5 * np.stack([np.cos(angle_KP), np.sin(angle_KP)], axis=-1)


UNIT_KP2 = _unit_vertices()


def _overlap(earlier: Objects, later: Objects) -> np.ndarray:
    """How much of the earlier object the later one hides, roughly (the authors' estimate).

    d = distance of the centres, proj = sum of the largest projections on the line between them:
    factor = 1 − exp(−(proj − d)·ln2/d) where proj ≥ d, else 0; area(later)·factor/area(earlier).
    """
    between_M2 = later.centre_M2 - earlier.centre_M2
    d_M = np.maximum(np.linalg.norm(between_M2, axis=1), 1e-9)
    line_M21 = (between_M2 / d_M[:, None])[:, :, None]
    reach_earlier_M = (earlier.vertices_MP2 @ line_M21).max(axis=(1, 2))
    reach_later_M = (later.vertices_MP2 @ -line_M21).max(axis=(1, 2))
    excess_M = np.maximum(reach_earlier_M + reach_later_M - d_M, 0)
    return later.area_M * -np.expm1(-excess_M * np.log(2) / d_M) / earlier.area_M


def _inside_mask(objects: Objects) -> np.ndarray:
    """M × SIZE × SIZE: is the pixel's centre inside (left of every edge; the polygons are convex)?"""
    vertices_MP2 = objects.vertices_MP2 + objects.centre_M2[:, None, :]
    edges_MP2 = np.roll(vertices_MP2, -1, axis=1) - vertices_MP2
    offset_MP = edges_MP2[..., 0] * vertices_MP2[..., 1] - edges_MP2[..., 1] * vertices_MP2[..., 0]
    pixel = np.arange(SIZE) + 0.5
    inside_MHW = np.ones((len(vertices_MP2), SIZE, SIZE), dtype=bool)
    for (dx_M, dy_M), offset_M in zip(edges_MP2.transpose(1, 2, 0), offset_MP.T, strict=True):
        height_MH1 = (dx_M[:, None] * pixel - offset_M[:, None])[:, :, None]
        inside_MHW &= height_MH1 >= (dy_M[:, None] * pixel)[:, None, :]
    return inside_MHW
