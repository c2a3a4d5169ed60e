"""Rows under evidence as it is kept: what the exact Gaussians say, with the kernels and without."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from masked_network.compiled import Kernels, compiled_kernels
from masked_network.input_gaussians import direction_count
from model_store.evidence_reader import EvidenceReader
from model_store.evidence_tensor import evidence_bytes, evidence_of

KERNELS = [
    pytest.param(
        compiled_kernels(),
        marks=pytest.mark.skipif(compiled_kernels() is None, reason="no compiler"),
        id="compiled",
    ),
    pytest.param(None, id="torch"),
]
LENGTHS = [1, 3, 8, 20, 72, 784]


def any_evidence(length: int, tasks: int, seed: int) -> Tensor:
    """Bytes as they come, but for the padding of the last regression."""
    generator = torch.Generator().manual_seed(seed)
    packed = torch.randint(0, 256, (tasks, evidence_bytes(length)), generator=generator)
    count = direction_count(length)
    if count * (count - 1) // 2 % 2:
        packed[:, -7] &= 15
    return packed.to(torch.uint8)


def likely_rows(length: int, rows: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, direction_count(length), generator=generator)


@pytest.mark.parametrize("kernels", KERNELS)
@given(
    length=st.sampled_from(LENGTHS),
    tasks=st.integers(1, 5),
    rows=st.integers(0, 35),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_likelihoods_are_those_of_the_exact_gaussians(
    kernels: Kernels | None, length: int, tasks: int, rows: int, seed: int
) -> None:
    packed, projected = any_evidence(length, tasks, seed), likely_rows(length, rows, seed)
    found = EvidenceReader(length, kernels).log_likelihoods(packed, projected)
    gaussians = evidence_of(packed, length).gaussians
    exact = type(gaussians)(
        *(
            values.double()
            for values in (
                gaussians.means,
                gaussians.deviations,
                gaussians.precisions,
                gaussians.regressions,
            )
        )
    )
    units = (projected.double().unsqueeze(1) - exact.means) / exact.deviations
    explained = torch.einsum("tij,ntj->nti", exact.regressions, units)
    residuals = (units + explained) * exact.precisions
    expected = exact.log_volumes() - residuals.square().sum(dim=2) / 2
    assert found.shape == (tasks, rows)
    # Bytes as they come are of sums whose terms are far larger than what is left of them.
    torch.testing.assert_close(found.double().T, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kernels", KERNELS)
def test_parts_of_larger_tensors_are_read_as_they_are(kernels: Kernels | None) -> None:
    packed, projected = any_evidence(784, 6, 1), likely_rows(784, 40, 2)
    reader = EvidenceReader(784, kernels)
    found = reader.log_likelihoods(packed[::2], projected[:, torch.arange(36)][3:20:2])
    whole = reader.log_likelihoods(packed, projected)
    torch.testing.assert_close(found, whole[::2, 3:20:2])


@pytest.mark.parametrize("kernels", KERNELS)
def test_likelihood_of_each_row_under_its_choices_is_that_among_all(
    kernels: Kernels | None,
) -> None:
    packed, projected = any_evidence(784, 6, 1), likely_rows(784, 70, 2)
    reader = EvidenceReader(784, kernels)
    choices = torch.randint(0, 6, (70, 3), generator=torch.Generator().manual_seed(1))
    found = reader.log_likelihoods_each(packed, projected, choices)
    whole = reader.log_likelihoods(packed, projected)
    torch.testing.assert_close(found, whole.T.gather(1, choices))


@pytest.mark.parametrize(
    ("packed", "projected"),
    [
        (torch.zeros(2, 429, dtype=torch.uint8), torch.zeros(1, 36)),
        (torch.zeros(2, 430), torch.zeros(1, 36)),
        (torch.zeros(2, 430, dtype=torch.uint8), torch.zeros(1, 35)),
        (torch.zeros(2, 430, dtype=torch.uint8), torch.zeros(1, 36, dtype=torch.float64)),
    ],
)
def test_what_does_not_fit_is_refused(packed: Tensor, projected: Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        EvidenceReader(784, compiled_kernels()).log_likelihoods(packed, projected)
