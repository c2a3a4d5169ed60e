"""On a GPU where there is one; by the fused kernels where triton is, and else by composing."""

from collections.abc import Mapping

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from masked_network.backbones import build_backbone, forward
from masked_network.gpu_batch import GpuBatch
from masked_network.graphed_batch import GraphedBatch, RunRows
from masked_network.mixed_batch import MixedBatch
from masked_network.task_slots import TaskSlots
from masked_network.task_statistics import statistics_layers
from tests.mixed_batches import Network, assert_same_logits, backbones, network_of, task_mixes
from tests.recorded_launches import recorder_here
from tests.triton_kernels import DEVICE, kernels_here

KERNELS = kernels_here()


def run_here(network: Network) -> RunRows:
    weights = {name: weight.to(DEVICE) for name, weight in network.weights.items()}
    bank = network.bank.to(DEVICE)
    if KERNELS is not None:
        return GpuBatch(network.backbone, weights, bank, KERNELS).under

    def composing(
        tables: Tensor, task_of_row: Tensor, statistics: Mapping[str, Tensor], inputs: Tensor
    ) -> Tensor:
        logits = []
        for row, task in enumerate(task_of_row.tolist()):
            composed = {name: values[row] for name, values in statistics.items()}
            for table, codes, (name, weight) in zip(
                tables[task], bank.codes, weights.items(), strict=True
            ):
                planes = zip(table, codes.long(), strict=True)
                factors = torch.stack([plane[code] for plane, code in planes]).sum(0)
                composed[name] = weight * factors.view_as(weight)
            logits.append(forward(network.backbone, composed, inputs[row : row + 1]))
        return torch.cat(logits)

    return composing


def graphed(network: Network, most_rows: int) -> GraphedBatch:
    layers = statistics_layers(network.backbone)
    slots = TaskSlots(network.bank.to(DEVICE), layers, 1 << 22, DEVICE)
    length = torch.Size(network.input_shape).numel()
    return GraphedBatch(
        run_here(network),
        slots,
        lambda rows: rows.view(-1, *network.input_shape),
        length,
        most_rows,
        DEVICE,
        recorder_here(),
    )


def answered(answer: GraphedBatch, seed: int, batch: MixedBatch, inputs: Tensor) -> Tensor:
    present = sorted(set(batch.task_of_row.tolist()))

    def bring(missing: list[int]) -> tuple[Tensor, Mapping[str, Tensor]]:
        tasks = [present[place] for place in missing]
        return batch.coefficients[tasks], {n: v[tasks] for n, v in batch.statistics.items()}

    keys = [f"{seed}, {task}" for task in present]
    of_row = torch.tensor([present.index(task) for task in batch.task_of_row.tolist()])
    return answer(keys, bring, inputs.flatten(1), of_row)


@given(
    drawn=backbones(),
    mixes=st.lists(
        st.tuples(st.integers(0, 2), task_mixes()), min_size=1, max_size=4, unique_by=lambda m: m[0]
    ),
    kind=st.sampled_from(["partition", "ranked", "random"]),
)
@settings(max_examples=15)
def test_batches_one_after_another_are_each_answered_as_composing_does(
    drawn: tuple[nn.Module, tuple[int, ...]],
    mixes: list[tuple[int, tuple[int, list[int]]]],
    kind: str,
) -> None:
    # More rows than a launch takes are answered by several.
    network = network_of(*drawn, kind, 5)
    answer = graphed(network, most_rows=16)
    for seed, mix in [*mixes, *mixes]:
        batch, inputs = network.batch(*mix, seed=seed)
        logits = answered(answer, seed, batch, inputs)
        assert_same_logits(logits, network.composed(batch, inputs))


def test_an_answer_stays_when_another_batch_is_answered() -> None:
    backbone = build_backbone("lenet-300-100", (1, 5, 5), 10)
    network = network_of(backbone, (1, 5, 5), "partition", 3)
    answer = graphed(network, most_rows=4)
    first = answered(answer, 0, *network.batch(2, [0, 1]))
    before = first.clone()
    answered(answer, 1, *network.batch(2, [1, 0], seed=1))
    assert torch.equal(first, before)
