"""Real handwriting, and a frozen network for it, made once."""

import pytest

from model_store.network import FrozenNetwork
from training.bank_options import BankOptions
from training.data_sets import load_image_set
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.new_networks import new_network


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    return load_image_set("digits")


@pytest.fixture(scope="session")
def network(digits: ImageSet) -> FrozenNetwork:
    """LeNet-300-100 with a partition of 64."""
    options, fit = BankOptions(size=64), FitOptions(1, 0.1)
    return new_network(options, digits.preprocessing(), lambda _: digits, fit)
