from collections.abc import Mapping

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from masked_network.backbones import forward
from masked_network.composition import compose
from masked_network.graphed_forward import GraphedForward
from tests.mixed_batches import Network, assert_same_logits, backbones, network_of
from tests.recorded_launches import DEVICE, recorder_here

MOST_ROWS = 8


def graphed(network: Network, composed: Mapping[str, Tensor]) -> GraphedForward:
    shapes = {name: tuple(weight.shape) for name, weight in composed.items()}
    length = torch.Size(network.input_shape).numel()
    return GraphedForward(
        network.backbone,
        shapes,
        lambda rows: rows.view(-1, *network.input_shape),
        length,
        MOST_ROWS,
        DEVICE,
        recorder_here(),
    )


def task(network: Network, seed: int) -> dict[str, Tensor]:
    batch, _ = network.batch(1, [0], seed)
    own = {name: values[0] for name, values in batch.statistics.items()}
    return compose(network.weights, network.bank, batch.coefficients[0]) | own


@given(
    drawn=backbones(),
    asked=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 2 * MOST_ROWS + 1)), min_size=1, max_size=6
    ),
)
@settings(max_examples=15)
def test_each_task_is_answered_under_its_own_weights_whoever_was_before(
    drawn: tuple[nn.Module, tuple[int, ...]], asked: list[tuple[int, int]]
) -> None:
    network = network_of(*drawn, "partition", 5)
    tasks = [task(network, seed) for seed in range(3)]
    there = [{name: weight.to(DEVICE) for name, weight in one.items()} for one in tasks]
    answer = graphed(network, tasks[0])
    for seed, (index, rows) in enumerate(asked):
        _, inputs = network.batch(1, [0] * rows, seed)
        logits = answer(there[index], inputs.flatten(1))
        assert_same_logits(logits, forward(network.backbone, tasks[index], inputs))
