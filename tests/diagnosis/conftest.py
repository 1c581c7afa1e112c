"""The tiny network that the forecast's quantities are checked on, and its images."""

import pytest
from tiny_network import tiny_sample, tiny_subject

from trainlab.diagnosis.forecast.sample import Sample
from trainlab.diagnosis.forecast.subject import Subject


@pytest.fixture
def tiny() -> Subject:
    return tiny_subject()


@pytest.fixture
def sample() -> Sample:
    return tiny_sample()
