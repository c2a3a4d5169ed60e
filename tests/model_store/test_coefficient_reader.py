"""Read in one pass, coefficients are to the bit what torch makes of the same tensors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.compiled import Kernels, compiled_kernels
from model_store.coefficient_reader import CoefficientReader
from model_store.coefficient_tensors import (
    COEFFICIENTS,
    SCALES,
    Precision,
    coefficients_of,
    quantised,
)

WAYS: list[Kernels | None] = [None, *filter(None, [compiled_kernels()])]
PRECISIONS: list[Precision] = ["fp16", "int8", "int4", "int2"]

each_way = pytest.mark.parametrize("kernels", WAYS, ids=["plain", "compiled"][: len(WAYS)])


@each_way
@given(
    used=st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=4),
    tasks=st.integers(1, 3),
    seed=st.integers(0, 99),
    precision=st.sampled_from(PRECISIONS),
)
def test_what_is_read_is_what_torch_makes_of_it(
    kernels: Kernels | None, used: list[list[bool]], tasks: int, seed: int, precision: Precision
) -> None:
    kept = torch.tensor(used)
    kept[0, 0] = True
    coefficients = torch.randn(tasks, *kept.shape, generator=torch.Generator().manual_seed(seed))
    each = [quantised(one, kept, precision) for one in coefficients]
    together = {name: torch.stack([one[name] for one in each]) for name in each[0]}
    reader = CoefficientReader(kept, kernels)
    assert torch.equal(reader.read(together), coefficients_of(together, kept))
    assert torch.equal(reader.read(each[-1]), coefficients_of(each[-1], kept))


@each_way
def test_every_half_is_read_as_torch_reads_it(kernels: Kernels | None) -> None:
    halves = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.float16)
    read = CoefficientReader(torch.ones(1, 1 << 16, dtype=torch.bool), kernels).read(
        {COEFFICIENTS: halves}
    )
    same = read.flatten().view(torch.int32) == halves.float().view(torch.int32)
    # The bits of what is no number are its own.
    assert bool((same | read.flatten().isnan()).all())
    assert torch.equal(read.flatten().isnan(), halves.isnan())


@each_way
@pytest.mark.parametrize("precision", ["int4", "int2"])
def test_bits_beyond_the_last_coefficient_are_refused(
    kernels: Kernels | None, precision: Precision
) -> None:
    used = torch.ones(1, 5, dtype=torch.bool)
    tensors = quantised(torch.randn(2, 5)[:1], used, precision)
    tensors[COEFFICIENTS].view(torch.uint8)[-1] |= 1 << 7
    with pytest.raises(ValueError, match="padding bits beyond 5 levels are set"):
        CoefficientReader(used, kernels).read(tensors)


def test_tensors_of_other_lengths_are_refused() -> None:
    kernels = compiled_kernels()
    if kernels is None:
        pytest.skip("what is not compiled leaves lengths to torch")
    reader = CoefficientReader(torch.ones(2, 5, dtype=torch.bool), kernels)
    tensors = quantised(torch.randn(2, 5), torch.ones(2, 5, dtype=torch.bool), "int4")
    with pytest.raises(ValueError, match=r"expected 5 bytes a task, got \[4\]"):
        reader.read({**tensors, COEFFICIENTS: tensors[COEFFICIENTS][:4]})
    with pytest.raises(ValueError, match=r"expected 2 scales, got \[1\]"):
        reader.read({**tensors, SCALES: tensors[SCALES][:1]})
