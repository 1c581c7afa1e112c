"""Shapeset: the class prior, the geometry of the authors' generator by slow twins, and its seeds."""

import math
import time

import numpy as np
import pytest

from trainlab.data import load_images, shapeset
from trainlab.data.splits import rng


@pytest.fixture(scope="module")
def images():
    return shapeset.generate(30_000, seed=0)


@pytest.fixture(scope="module")
def objects():
    generator = rng(0, "test")
    return shapeset._new_objects(generator), shapeset._new_objects(generator)


def test_the_class_prior_is_that_of_the_generator(images):
    _, y_N = images
    expected = dict.fromkeys(shapeset.KINDS, 1 / 6)
    for name in shapeset.CLASSES[3:]:
        one, other = name.split(" + ")
        expected[name] = 1 / 18 if one == other else 1 / 9
    assert math.isclose(sum(expected.values()), 1)
    for label, name in enumerate(shapeset.CLASSES):
        p = expected[name]
        assert abs((y_N == label).mean() - p) < 4 * math.sqrt(p * (1 - p) / len(y_N)), name


def test_a_label_counts_its_objects(images):
    x_NHW, y_N = images
    for x_HW, y in zip(x_NHW[:500], y_N[:500], strict=True):
        greys = len(np.unique(x_HW))
        assert greys <= (2 if y < 3 else 3)
        assert greys >= 2


def test_grey_levels_are_apart_and_half_are_swapped(images):
    x_NHW, _ = images
    background_N = x_NHW[:, 0, 0] / 255  # no object reaches the border
    dark_N = background_N <= 0.4511
    assert (dark_N | (background_N >= 0.5489)).all()
    assert abs(dark_N.mean() - 0.5) < 0.02
    for x_HW, dark in zip(x_NHW[:500] / 255, dark_N[:500], strict=True):
        foreground = x_HW[x_HW != x_HW[0, 0]]
        assert (foreground >= 0.5489).all() if dark else (foreground <= 0.4511).all()


def test_objects_stay_a_pixel_inside(images, objects):
    x_NHW, _ = images
    border = np.ones((32, 32), dtype=bool)
    border[1:-1, 1:-1] = False
    assert (x_NHW[:, border] == x_NHW[:, :1, 0]).all()
    vertices = objects[0].vertices_MP2 + objects[0].centre_M2[:, None]
    assert vertices.min() >= 1 - 1e-9
    assert vertices.max() <= 31 + 1e-9


def turned(x, y, angle):
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def test_vertices_follow_the_formula_one_by_one(objects):
    first, _ = objects
    for i in range(60):
        n = (3, 4, 20)[first.kind_M[i]]
        (s0, s1), theta1, theta3 = first.scale_M2[i], first.theta1_M[i], first.theta3_M[i]
        assert 0.2 * 32 <= s1 <= s0 <= 0.8 * 32
        assert abs(theta1) <= math.pi / n
        theta2 = -math.atan(s1 / s0 * math.tan(theta1))
        for t in range(n):
            angle = 2 * math.pi * (t / n + 1 / (2 * n) + 1 / 4)
            x, y = turned(math.cos(angle) / 2, math.sin(angle) / 2, theta1)
            x, y = turned(*turned(x * s0, y * s1, theta2), theta3)
            assert np.allclose(first.vertices_MP2[i, t], (x, y))


def inside_by_crossings(vertices, x, y):
    """Even-odd rule, an edge after the other."""
    inside = False
    for (x0, y0), (x1, y1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
    return inside


def test_filling_equals_the_even_odd_rule(objects):
    first, _ = objects
    filled = shapeset._inside_mask(first)
    for i in range(12):
        vertices = first.vertices_MP2[i] + first.centre_M2[i]
        slow = [[inside_by_crossings(vertices, c + 0.5, r + 0.5) for c in range(32)] for r in range(32)]
        assert (filled[i] == slow).all()


def test_the_filled_area_is_that_of_the_polygon(objects):
    first, _ = objects
    pixels_M = shapeset._inside_mask(first).sum(axis=(1, 2))
    assert abs(pixels_M.mean() / (first.area_M * math.pi / 4).mean() - 1) < 0.01


def test_overlap_follows_the_formula_one_by_one(objects):
    first, second = objects
    got = shapeset._overlap(first, second)
    assert (got > 0.5).any()
    assert (got == 0).any()
    for i in range(200):
        dx, dy = second.centre_M2[i] - first.centre_M2[i]
        d = math.hypot(dx, dy)
        proj = max((x * dx + y * dy) / d for x, y in first.vertices_MP2[i])
        proj += max(-(x * dx + y * dy) / d for x, y in second.vertices_MP2[i])
        factor = 1 - math.exp(-(proj - d) * math.log(2) / d) if proj >= d else 0.0
        assert math.isclose(got[i], second.area_M[i] * factor / first.area_M[i], abs_tol=1e-12)


def test_seeds_and_splits_have_streams_of_their_own():
    x_NHW, y_N = shapeset.generate(300, seed=4)
    again, _ = shapeset.generate(300, seed=4)
    longer, longer_y = shapeset.generate(1500, seed=4)
    assert (x_NHW == again).all()
    assert (x_NHW == longer[:300]).all()
    assert (y_N == longer_y[:300]).all()
    assert (x_NHW != shapeset.generate(300, seed=5)[0]).any()
    assert (x_NHW != shapeset.generate(300, seed=4, stream="test")[0]).any()
    assert (longer[:300] != longer[1000:1300]).any()


def test_twelve_thousand_images_take_seconds(root, cache):
    begin = time.perf_counter()
    data = load_images("shapeset", root, cache, val_size=1000)
    assert time.perf_counter() - begin < 20
    assert (len(data.train), len(data.val), len(data.test)) == (9000, 1000, 2000)
    assert data.classes == shapeset.CLASSES
    assert data.copy == "generated"
