import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.compiled import Kernels, compiled_kernels
from masked_network.dense_rows import MOST_ROWS, DenseRows
from masked_network.fully_connected import FullyConnected

COMPILED = compiled_kernels()
WAYS = (
    [Kernels(COMPILED.library, COMPILED.tile, lanes, False) for lanes in (4, 8, 16)]
    if COMPILED is not None
    else []
)
WAYS = [way for way in WAYS if COMPILED is not None and way.lanes <= COMPILED.lanes]

every_way = pytest.mark.parametrize("kernels", WAYS, ids=[f"{way.lanes} lanes" for way in WAYS])


def made(
    inputs: int, hidden: tuple[int, int], outputs: int, kernels: Kernels
) -> tuple[DenseRows, dict[str, Tensor]]:
    with torch.device("meta"):
        backbone = FullyConnected((inputs,), outputs, hidden)
    generator = torch.Generator().manual_seed(inputs)
    weights = {
        name: torch.randn(parameter.shape, generator=generator)
        for name, parameter in backbone.named_parameters()
    }
    return DenseRows(backbone, kernels), weights


def answered(dense: DenseRows, weights: dict[str, Tensor], rows: Tensor) -> Tensor:
    return torch.from_numpy(dense(weights, rows.numpy()))


def random_rows(rows: int, inputs: int) -> Tensor:
    return torch.randn(rows, inputs, generator=torch.Generator().manual_seed(rows))


@every_way
@given(
    inputs=st.integers(1, 70),
    hidden=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    outputs=st.integers(1, 13),
    rows=st.integers(1, MOST_ROWS),
)
def test_answers_are_torchs_to_rounding(
    kernels: Kernels, inputs: int, hidden: tuple[int, int], outputs: int, rows: int
) -> None:
    dense, weights = made(inputs, hidden, outputs, kernels)
    given_rows = random_rows(rows, inputs)
    exact = {name: weight.double() for name, weight in weights.items()}
    expected = FullyConnected.under(exact, given_rows.double())
    torch.testing.assert_close(
        answered(dense, weights, given_rows).double(),
        expected,
        rtol=0,
        atol=4e-6 * float(expected.abs().max()) + 4e-6,
    )


@every_way
def test_row_is_the_same_to_the_bit_whatever_comes_with_it(kernels: Kernels) -> None:
    dense, weights = made(37, (21, 9), 5, kernels)
    rows = random_rows(MOST_ROWS, 37)
    alone = torch.cat([answered(dense, weights, row[None]) for row in rows])
    for count in range(1, MOST_ROWS + 1):
        assert torch.equal(answered(dense, weights, rows[:count]), alone[:count])


@every_way
def test_what_is_no_number_stays_none(kernels: Kernels) -> None:
    dense, weights = made(5, (3, 4), 2, kernels)
    rows = torch.ones(2, 5)
    rows[1, 2] = torch.nan
    logits = answered(dense, weights, rows)
    assert torch.isfinite(logits[0]).all()
    assert torch.isnan(logits[1]).all()


@every_way
def test_what_does_not_fit_is_refused_in_words(kernels: Kernels) -> None:
    dense, weights = made(5, (3, 4), 2, kernels)
    for rows in (torch.ones(MOST_ROWS + 1, 5), torch.ones(1, 4), torch.ones(1, 5).double()):
        with pytest.raises(ValueError, match="at most 16 rows of 5 fp32"):
            answered(dense, weights, rows)
    for weight in (torch.ones(3, 6), torch.ones(3, 5).half(), torch.ones(5, 3).T):
        with pytest.raises(ValueError, match=r"hidden1.weight: expected contiguous fp32 \(3, 5\)"):
            answered(dense, weights | {"hidden1.weight": weight}, torch.ones(1, 5))


@every_way
def test_other_weights_are_taken_up_at_once_and_those_that_do_not_fit_leave_nothing(
    kernels: Kernels,
) -> None:
    dense, first = made(5, (3, 4), 2, kernels)
    second = {name: 2 * weight for name, weight in first.items()}
    row = random_rows(1, 5)
    answers = [answered(dense, weights, row) for weights in (first, second, first, first)]
    assert torch.equal(answers[1], 8 * answers[0])
    assert torch.equal(answers[2], answers[0])
    assert torch.equal(answers[3], answers[0])
    with pytest.raises(ValueError, match="expected contiguous fp32"):
        answered(dense, first | {"classifier.weight": torch.ones(2, 4).half()}, row)
    assert torch.equal(answered(dense, first, row), answers[0])
