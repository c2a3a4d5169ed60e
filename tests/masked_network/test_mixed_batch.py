import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from masked_network.backbones import build_backbone, forward
from masked_network.composition import compose
from masked_network.devices import CPU
from masked_network.mixed_batch import MixedBatch
from masked_network.stacked_bank import StackedBank
from tests.mixed_batches import assert_same_logits, backbones, network_of, task_mixes
from tests.stand_in_device import STAND_IN, stand_in_device

Drawn = tuple[nn.Module, tuple[int, ...]]
Mix = tuple[int, list[int]]


@given(backbones(), task_mixes())
def test_a_row_is_answered_by_its_own_task(drawn: Drawn, mix: Mix) -> None:
    network = network_of(*drawn, kind="partition", size=5)
    batch, inputs = network.batch(*mix)
    logits = network.composed(batch, inputs)
    row = len(inputs) - 1
    task = mix[1][row]
    own = {name: values[task] for name, values in batch.statistics.items()}
    composed = compose(network.weights, network.bank, batch.coefficients[task]) | own
    alone = forward(network.backbone, composed, inputs[row : row + 1])
    assert_same_logits(logits[row : row + 1], alone)


@given(
    backbones(),
    task_mixes(),
    st.sampled_from(["partition", "random", "ranked", "atoms"]),
    st.integers(1, 9),
    st.sampled_from([1, 3]),
)
def test_the_stacked_bank_answers_as_composing_does(
    drawn: Drawn, mix: Mix, kind: str, size: int, groups: int
) -> None:
    network = network_of(*drawn, kind, min(size, 4) if kind == "atoms" else size, groups)
    batch, inputs = network.batch(*mix)
    stacked = StackedBank(network.backbone, network.weights, network.bank)
    assert_same_logits(stacked(batch, inputs), network.composed(batch, inputs))


def test_the_backbone_itself_stays_as_it_is() -> None:
    with torch.device("meta"):
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    before = [type(module) for module in backbone.modules()]
    network = network_of(backbone, (1, 2, 2), "random", 3)
    StackedBank(backbone, network.weights, network.bank)
    assert [type(module) for module in backbone.modules()] == before


@pytest.mark.parametrize(
    ("coefficients", "task_of_row", "words"),
    [
        (torch.zeros(2, 3), torch.tensor([0]), r"expected coefficients \[T, L, K\]"),
        (torch.zeros(2, 3, 4), torch.tensor([0.0]), r"int64 \[B\], got .* torch.float32"),
        (torch.zeros(2, 3, 4), torch.tensor([[0]]), r"\[1, 1\]"),
        (torch.zeros(2, 3, 4), torch.tensor([0, 2]), "expected tasks 0 to 1, got 0 to 2"),
        (torch.zeros(2, 3, 4), torch.tensor([-1, 0]), "got -1 to 0"),
        (torch.zeros(2, 3, 4), torch.tensor([], dtype=torch.int64), "expected a row and a task"),
        (torch.zeros(0, 3, 4), torch.tensor([0]), "got 1 and 0"),
    ],
)
def test_a_batch_that_is_none_is_refused(
    coefficients: torch.Tensor, task_of_row: torch.Tensor, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        MixedBatch(coefficients, task_of_row)


@pytest.mark.parametrize("shape", [(3, 20), (2, 21), (20,)])
def test_statistics_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    backbone = build_backbone("resnet-18-small", (1, 8, 8), 3)
    network = network_of(backbone, (1, 8, 8), "partition", 4)
    batch, inputs = network.batch(2, [0, 1])
    others = {**batch.statistics, "stem_norm.running_mean": torch.zeros(shape)}
    for statistics in (others, {}):
        with pytest.raises(ValueError, match=r"expected statistics of 2 tasks, got others: \[\('s"):
            network.composed(MixedBatch(batch.coefficients, batch.task_of_row, statistics), inputs)


def test_a_batch_moves_to_a_device_with_all_its_statistics_in_one_piece() -> None:
    backbone = build_backbone("resnet-18-small", (3, 8, 8), 5)
    network = network_of(backbone, (3, 8, 8), "partition", 4)
    batch, _ = network.batch(3, [2, 0, 1, 1])
    assert batch.to(CPU) is batch
    with stand_in_device() as there:
        moved = batch.to(STAND_IN)
        assert len(there.moved) == 3  # coefficients, whose rows they are, statistics
        assert torch.equal(moved.task_of_row.cpu(), batch.task_of_row)
        assert list(moved.statistics) == list(batch.statistics)
        for name, values in batch.statistics.items():
            assert torch.equal(moved.statistics[name].cpu(), values)
