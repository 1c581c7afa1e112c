"""The tiny network that the forecast's quantities are checked on, and its images."""

import pytest
from tiny_network import tiny_sample, tiny_subject

from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.image_sample import ImageSample


@pytest.fixture
def tiny() -> FunctionalModel:
    return tiny_subject()


@pytest.fixture
def sample() -> ImageSample:
    return tiny_sample()
