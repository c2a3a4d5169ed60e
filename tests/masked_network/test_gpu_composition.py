"""On a GPU where there is one, else in triton's interpreter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from masked_network.backbones import build_backbone
from masked_network.composition import compose
from masked_network.gpu_codes import gpu_codes
from masked_network.gpu_composition import GpuComposition
from masked_network.one_pass_composition import COMPOSED_DTYPES, ComposedType
from tests.mixed_batches import Network, backbones, network_of
from tests.triton_kernels import DEVICE, kernels_here

KERNELS = kernels_here()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="triton is not installed")


def composition(network: Network, block: int = 64) -> GpuComposition:
    assert KERNELS is not None
    weights = {name: weight.to(DEVICE) for name, weight in network.weights.items()}
    return GpuComposition(weights, network.bank.to(DEVICE), KERNELS, block)


def rounded(weight: Tensor, composed: ComposedType) -> Tensor:
    if composed == "bf16" and DEVICE.type == "cpu":
        # The interpreter cuts off where a GPU rounds.
        weight = (weight.view(torch.int32) & -(1 << 16)).view(torch.float32)
    return weight.to(COMPOSED_DTYPES[composed])


def assert_same_bits(network: Network, block: int, composed: ComposedType) -> None:
    coefficients = network.batch(1, [0])[0].coefficients[0]
    coefficients[0, 0] = 0
    # There, too: what several masks make of a weight is summed in another order elsewhere.
    weights = {name: weight.to(DEVICE) for name, weight in network.weights.items()}
    bank = network.bank.to(DEVICE)
    expected = {
        name: weight.cpu()
        for name, weight in compose(weights, bank, coefficients.to(DEVICE)).items()
    }
    made = composition(network, block)(coefficients.to(DEVICE), composed)
    assert list(made) == list(expected)
    for name, weight in expected.items():
        wanted, got = rounded(weight, composed), made[name].cpu()
        assert got.dtype == wanted.dtype
        assert torch.equal(got, wanted)
        assert torch.equal(got.signbit(), wanted.signbit())


@given(
    drawn=backbones(),
    kind=st.sampled_from(["partition", "root", "ranked", "atoms", "random"]),
    size=st.integers(1, 20) | st.integers(1, 5000),
    groups=st.sampled_from([1, 1, 3]),
    composed=st.sampled_from(list(COMPOSED_DTYPES)),
    block=st.sampled_from([64, 1024]),
)
@settings(max_examples=25)
def test_the_kernel_gives_the_bits_of_composition(
    drawn: tuple[nn.Module, tuple[int, ...]],
    kind: str,
    size: int,
    groups: int,
    composed: ComposedType,
    block: int,
) -> None:
    size = {"atoms": 1 + size % 7, "random": 1 + size % 20}.get(kind, size)
    assert_same_bits(network_of(*drawn, kind, size, groups), block, composed)


@pytest.mark.parametrize("composed", COMPOSED_DTYPES)
@pytest.mark.parametrize("size", [10, 16, 64, 128, 129, 256, 257, 1024])
def test_codes_of_every_width_give_the_bits_of_composition(
    size: int, composed: ComposedType
) -> None:
    backbone = build_backbone("lenet-300-100", (1, 3, 3), 5)
    assert_same_bits(network_of(backbone, (1, 3, 3), "partition", size), 1024, composed)


@pytest.mark.parametrize(
    ("planes", "entries", "bytes_of_16", "packed"),
    [
        pytest.param(1, 128, 16, True, id="a code and a sign in a byte"),
        pytest.param(1, 256, 18, False, id="a code in a byte, and eight signs in one"),
        pytest.param(1, 257, 32, True, id="a code and a sign in two bytes"),
        pytest.param(2, 16, 34, False, id="planes share their signs"),
    ],
)
def test_codes_take_no_more_bytes_than_they_need(
    planes: int, entries: int, bytes_of_16: int, packed: bool
) -> None:
    codes = torch.full((planes, 16), entries - 1, dtype=torch.int32)
    found = gpu_codes(codes, torch.arange(16) % 3 == 0, entries)
    assert (found.byte_size, found.packed, found.places) == (bytes_of_16, packed, 16)


def test_coefficients_that_do_not_fit_are_refused() -> None:
    network = network_of(build_backbone("lenet-300-100", (4,), 3), (4,), "partition", 5)
    one_pass = composition(network)
    with pytest.raises(ValueError, match=r"expected coefficients \(3, 5\), got \(3, 6\)"):
        one_pass(torch.zeros(3, 6, device=DEVICE))
    with pytest.raises(ValueError, match=r"expected coefficients in fp32 on .*, got torch.float64"):
        one_pass(torch.zeros(3, 5, dtype=torch.float64, device=DEVICE))
    with pytest.raises(ValueError, match=r"expected coefficients \[L, K\]"):
        one_pass(torch.zeros(2, 3, 5, device=DEVICE))
