import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model_store.preprocessing import Preprocessing


def test_rows_flat_or_shaped_become_the_same_normalised_inputs() -> None:
    preprocessing = Preprocessing(channels=3, height=2, width=4, mean=0.5, std=0.25)
    assert preprocessing.input_shape == (3, 2, 4)
    assert preprocessing.row_length == 24
    flat = torch.linspace(0, 1, 48, dtype=torch.float64).reshape(2, 24)
    inputs = preprocessing.to_inputs(flat)
    assert inputs.dtype == torch.float32
    assert torch.equal(inputs, preprocessing.to_inputs(flat.reshape(2, 3, 2, 4)))
    torch.testing.assert_close(inputs.flatten(1), ((flat - 0.5) / 0.25).float())


def test_rows_in_main_memory_become_the_same_inputs_to_the_bit() -> None:
    preprocessing = Preprocessing(channels=3, height=2, width=4, mean=0.13, std=0.31)
    rows = np.random.default_rng(0).random((500, 24), dtype=np.float32)
    expected = preprocessing.to_inputs(torch.from_numpy(rows))
    for order in (rows, np.asfortranarray(rows)):
        assert torch.equal(preprocessing.rows_to_inputs(order), expected)


@pytest.mark.parametrize(
    "field", [{"std": 0.0}, {"std": math.inf}, {"mean": math.nan}, {"channels": 4}, {"height": 0}]
)
def test_values_that_no_image_can_be_brought_to_are_refused(field: dict[str, float]) -> None:
    whole = {"channels": 1, "height": 2, "width": 2, "mean": 0.5, "std": 0.5}
    with pytest.raises(ValidationError, match=next(iter(field))):
        Preprocessing.model_validate(whole | field)
