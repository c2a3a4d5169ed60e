from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from masked_network.backbones import build_backbone
from masked_network.compiled import Kernels, compiled_kernels
from masked_network.composition import compose
from masked_network.one_pass_composition import ComposedType, OnePassComposition
from tests.mixed_batches import backbones, network_of

COMPILED = compiled_kernels()
WAYS = [COMPILED, replace(COMPILED, permutes_bytes=False)] if COMPILED else []
TYPES: dict[ComposedType, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}

each_way = pytest.mark.parametrize(
    "kernels", WAYS, ids=["this machine", "main memory"][: len(WAYS)]
)


@each_way
@given(
    drawn=backbones(),
    kind=st.sampled_from(["partition", "root", "ranked", "atoms", "random"]),
    size=st.integers(1, 8) | st.integers(1, 5000),
    groups=st.sampled_from([1, 1, 3]),
    composed=st.sampled_from(list(TYPES)),
)
def test_one_pass_gives_the_bits_of_composition(
    kernels: Kernels,
    drawn: tuple[nn.Module, tuple[int, ...]],
    kind: str,
    size: int,
    groups: int,
    composed: ComposedType,
) -> None:
    size = {"atoms": 1 + size % 7, "random": 1 + size % 12}.get(kind, size)
    network = network_of(*drawn, kind, size, groups)
    coefficients = network.batch(1, [0])[0].coefficients[0]
    coefficients[0, 0] = 0
    expected = compose(network.weights, network.bank, coefficients)
    made = OnePassComposition(network.weights, network.bank, kernels)(coefficients, composed)
    assert list(made) == list(expected)
    for name, weight in expected.items():
        wanted = weight.to(TYPES[composed])
        assert made[name].dtype == wanted.dtype
        assert torch.equal(made[name], wanted)
        assert torch.equal(made[name].signbit(), wanted.signbit())


@each_way
@pytest.mark.parametrize("composed", list(TYPES))
def test_what_no_narrower_type_holds_is_rounded_as_torch_does(
    kernels: Kernels, composed: ComposedType
) -> None:
    network = network_of(build_backbone("lenet-300-100", (40,), 10), (40,), "partition", 9)
    odd = [torch.inf, torch.nan, 1e38, -3e38, 1e-44, -1e-40, -0.0, 2e6, 1.00390625]
    coefficients = torch.tensor([odd] * 3) / torch.tensor([[1.0], [7.0], [3.0]])
    made = OnePassComposition(network.weights, network.bank, kernels)(coefficients, composed)
    for name, weight in compose(network.weights, network.bank, coefficients).items():
        wanted = weight.to(TYPES[composed])
        torch.testing.assert_close(made[name], wanted, rtol=0, atol=0, equal_nan=True)


@each_way
def test_coefficients_that_do_not_fit_are_refused(kernels: Kernels) -> None:
    network = network_of(build_backbone("lenet-300-100", (4,), 3), (4,), "partition", 5)
    one_pass = OnePassComposition(network.weights, network.bank, kernels)
    with pytest.raises(ValueError, match=r"expected coefficients \(3, 5\), got \(3, 6\)"):
        one_pass(torch.zeros(3, 6))
    with pytest.raises(ValueError, match=r"fp32 in main memory, got torch.float64 \[3, 5\] on cpu"):
        one_pass(torch.zeros(3, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"expected coefficients \[L, K\]"):
        one_pass(torch.zeros(2, 3, 5))
