"""On a GPU where there is one, else in triton's interpreter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from masked_network.backbones import build_backbone
from masked_network.gpu_batch import GpuBatch
from masked_network.mixed_batch import MixedBatch
from masked_network.residual import Residual
from tests.mixed_batches import Network, assert_same_logits, backbones, network_of, task_mixes
from tests.triton_kernels import DEVICE, kernels_here

KERNELS = kernels_here()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="triton is not installed")


def gpu_batch(network: Network, **options: int) -> GpuBatch:
    assert KERNELS is not None
    weights = {name: weight.to(DEVICE) for name, weight in network.weights.items()}
    return GpuBatch(network.backbone, weights, network.bank.to(DEVICE), KERNELS, **options)


def answered(answer: GpuBatch, batch: MixedBatch, inputs: Tensor) -> Tensor:
    return answer(batch.to(DEVICE), inputs.to(DEVICE)).cpu()


def small(kind: str, size: int, groups: int = 1) -> Network:
    backbone = build_backbone("lenet-300-100", (1, 5, 5), 10)
    return network_of(backbone, (1, 5, 5), kind, size, groups)


@given(
    drawn=backbones(),
    mix=task_mixes(),
    kind=st.sampled_from(["partition", "root", "ranked", "atoms", "random"]),
    size=st.integers(1, 20) | st.integers(1, 5000),
    groups=st.sampled_from([1, 1, 3]),
)
@settings(max_examples=20)
def test_a_batch_answers_as_composing_does(
    drawn: tuple[nn.Module, tuple[int, ...]],
    mix: tuple[int, list[int]],
    kind: str,
    size: int,
    groups: int,
) -> None:
    size = {"atoms": 1 + size % 7, "random": 1 + size % 20}.get(kind, size)
    network = network_of(*drawn, kind, size, groups)
    batch, inputs = network.batch(*mix)
    expected = network.composed(batch, inputs)
    assert_same_logits(answered(gpu_batch(network), batch, inputs), expected)


@pytest.mark.parametrize("size", [10, 16, 64, 128, 256, 1024])
def test_codes_of_every_width_answer_as_composing_does(size: int) -> None:
    network = small("partition", size)
    batch, inputs = network.batch(3, [2, 0, 1, 1])
    expected = network.composed(batch, inputs)
    assert_same_logits(answered(gpu_batch(network), batch, inputs), expected)


def test_a_row_of_nan_spoils_no_other() -> None:
    network = small("partition", 64)
    batch, inputs = network.batch(3, [0, 1, 2])
    answer = gpu_batch(network)
    expected = answered(answer, batch, inputs)
    inputs[1] = torch.nan
    logits = answered(answer, batch, inputs)
    assert bool(logits[1].isnan().all())
    for row in (0, 2):
        assert torch.equal(logits[row], expected[row])


def test_convolutions_that_are_composed_in_parts_answer_alike() -> None:
    with torch.device("meta"):
        backbone = Residual((2, 5, 7), 4, widths=(3, 5), blocks=(1, 1), large_images=False)
    network = network_of(backbone, (2, 5, 7), "partition", 16)
    batch, inputs = network.batch(3, [0, 2, 1, 1])
    expected = network.composed(batch, inputs)
    for most in (1, 500):
        answer = gpu_batch(network, most_composed=most)
        assert_same_logits(answered(answer, batch, inputs), expected)


def test_what_does_not_fit_is_refused_in_words() -> None:
    network = small("partition", 4)
    batch, inputs = network.batch(2, [0, 1])
    answer = gpu_batch(network)
    with pytest.raises(ValueError, match=r"expected coefficients \(3, 4\), got \(3, 5\)"):
        answered(answer, MixedBatch(torch.zeros(2, 3, 5), batch.task_of_row), inputs)
    with pytest.raises(ValueError, match=r"expected fp32 on .*, got torch.float64"):
        answered(answer, batch, inputs.double())
    with pytest.raises(ValueError, match=r"expected 2 rows, got 1"):
        answered(answer, batch, inputs[:1])
    with pytest.raises(ValueError, match=r"hidden1.weight: expected rows of 25, got 26"):
        answered(answer, batch, torch.zeros(2, 26))
