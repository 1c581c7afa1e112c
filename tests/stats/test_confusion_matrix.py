"""Shares out of a confusion matrix, by counting the images one by one."""

import math
import random

import pytest

from trainlab.stats import confusion


@pytest.fixture
def images():
    """(true class, predicted class) of 200 images of three classes, one of which is rare."""
    rng = random.Random(0)
    return [(rng.choice([0, 0, 0, 1, 1, 2]), rng.randrange(3)) for _ in range(200)]


@pytest.fixture
def counts_KK(images):
    return [[images.count((true, predicted)) for predicted in range(3)] for true in range(3)]


def test_shares_are_those_of_counting_images(images, counts_KK):
    correct = [true == predicted for true, predicted in images]
    truth = [true for true, _ in images]
    assert confusion.total_count(counts_KK) == 200
    assert confusion.correct_count(counts_KK) == sum(correct)
    assert confusion.accuracy(counts_KK) == sum(correct) / 200
    assert confusion.majority_share(counts_KK) == max(map(truth.count, range(3))) / 200


def test_the_entropy_of_even_classes_is_the_logarithm_of_their_number(images, counts_KK):
    assert confusion.class_entropy([[5, 5], [0, 10]]) == pytest.approx(math.log(2))
    assert confusion.class_entropy([[5, 0], [0, 0]]) == 0.0
    assert 0 < confusion.class_entropy(counts_KK) < math.log(3)


def test_no_images_have_no_shares():
    for share in (confusion.accuracy, confusion.majority_share, confusion.class_entropy):
        assert math.isnan(share([[0, 0], [0, 0]]))
