import pytest
import torch
from torch import nn

from masked_network.compiled import Kernels
from masked_network.fused_batch import FusedBatch
from masked_network.fused_residual import FusedResidual
from masked_network.mixed_batch import MixedBatch
from masked_network.residual import Residual
from masked_network.row_threads import RowThreads
from masked_network.signed_codes import one_plane_layers
from tests.kernel_ways import compiled_way, each_way
from tests.mixed_batches import Network, assert_same_logits, network_of


def residual(shape: tuple[int, ...], expansion: int = 1, large: bool = False) -> Network:
    with torch.device("meta"):
        backbone: nn.Module = Residual(shape, 7, (6, 12, 21), (2, 1, 1), expansion, large)
    return network_of(backbone, shape, "partition", 16)


def fused(network: Network, kernels: Kernels | None) -> FusedBatch:
    return FusedBatch(network.backbone, network.weights, network.bank, kernels)


@each_way
@pytest.mark.parametrize("large", [False, True], ids=["small images", "large images"])
@pytest.mark.parametrize("expansion", [1, 4])
@pytest.mark.parametrize(
    "shape", [(3, 32, 32), (3, 20, 23), (1, 33, 17), (2, 5, 70), (1, 49, 1), (1, 1, 1)], ids=str
)
def test_images_of_any_size_are_answered_as_composing_does(
    kernels: Kernels | None, shape: tuple[int, ...], expansion: int, large: bool
) -> None:
    network = residual(shape, expansion, large)
    batch, inputs = network.batch(3, [0, 2, 1, 1])
    assert_same_logits(fused(network, kernels)(batch, inputs), network.composed(batch, inputs))


@compiled_way
@pytest.mark.parametrize("large", [False, True], ids=["small images", "large images"])
def test_what_else_is_in_a_batch_changes_no_bit_of_a_row(kernels: Kernels, large: bool) -> None:
    network = residual((3, 18, 19), large=large)
    batch, inputs = network.batch(9, list(range(9)))
    inputs[4, 1, 3, 5] = torch.nan
    answer = fused(network, kernels)
    logits = answer(batch, inputs)
    assert bool(logits[4].isnan().all())
    for row in (0, 3, 5, 8):
        alone = MixedBatch(batch.coefficients, batch.task_of_row[row : row + 1], batch.statistics)
        assert torch.equal(answer(alone, inputs[row : row + 1])[0], logits[row])
    assert not bool(logits[[0, 3, 5, 8]].isnan().any())


@compiled_way
@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_threads_share_rows_out_and_change_no_bit(kernels: Kernels, rows: int) -> None:
    network = residual((3, 18, 19))
    batch, inputs = network.batch(3, [row % 3 for row in range(rows)])
    layers = {one.name: one for one in one_plane_layers(network.weights, network.bank)}
    assert isinstance(network.backbone, Residual)
    alone, shared = (
        FusedResidual(network.backbone, layers, kernels, RowThreads(threads))(
            batch.coefficients, batch.statistics, batch.task_of_row, inputs
        )
        for threads in (1, 3)
    )
    assert torch.equal(alone, shared)


@each_way
def test_rows_in_another_order_of_memory_are_answered_alike(kernels: Kernels | None) -> None:
    network = residual((3, 8, 10))
    batch, inputs = network.batch(3, [0, 2, 1, 1])
    answer, strided = fused(network, kernels), inputs.to(memory_format=torch.channels_last)
    assert_same_logits(answer(batch, strided), answer(batch, inputs))


@compiled_way
def test_images_may_have_another_size_from_one_batch_to_the_next(kernels: Kernels) -> None:
    network = residual((3, 8, 10))
    answer = fused(network, kernels)
    for shape in ((3, 8, 10), (3, 30, 31), (3, 8, 10)):
        batch, inputs = residual(shape).batch(2, [1, 0, 1])
        assert_same_logits(answer(batch, inputs), network.composed(batch, inputs))


@compiled_way
def test_what_does_not_fit_is_refused_in_words(kernels: Kernels) -> None:
    network = residual((3, 8, 8))
    batch, inputs = network.batch(2, [0, 1])
    answer = fused(network, kernels)
    with pytest.raises(ValueError, match="expected statistics of 2 tasks"):
        answer(MixedBatch(batch.coefficients, batch.task_of_row), inputs)
    for wrong in (inputs[:, :2], inputs.flatten(start_dim=1)):
        with pytest.raises(ValueError, match=r"stem.weight: expected rows of 3 channels, got \("):
            answer(batch, wrong)
