import numpy as np
import pytest

from service.engine.prediction import Prediction


@pytest.mark.parametrize("classes", [1, 2, 3, 8, 9, 10, 1000])
def test_probabilities_of_a_row_are_the_same_to_the_bit_whatever_comes_with_it(
    classes: int,
) -> None:
    logits = np.random.default_rng(classes).normal(0, 40, (50, classes)).astype(np.float32)
    together = Prediction(None, logits).probabilities
    assert together is not None
    assert together.dtype == np.float32
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    exact = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        together, exact / exact.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-30
    )
    for number, row in enumerate(together):
        alone = Prediction(None, logits[number : number + 1]).probabilities
        assert alone is not None
        assert np.array_equal(alone, row[np.newaxis])


def test_without_logits_there_are_none() -> None:
    assert Prediction(None, None).probabilities is None
