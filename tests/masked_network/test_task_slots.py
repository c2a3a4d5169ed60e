from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from masked_network.residual import Residual
from masked_network.signed_codes import all_planes
from masked_network.task_slots import TaskSlots
from masked_network.task_statistics import statistics_layers
from tests.mixed_batches import Network, network_of
from tests.recorded_launches import DEVICE

TASKS = 6


class Brought:
    """Random tasks, and which of them were asked for."""

    def __init__(self, network: Network) -> None:
        self.batch = network.batch(TASKS, [0])[0]
        self.asked: list[list[int]] = []

    def some(self, tasks: list[int], places: list[int]) -> tuple[Tensor, Mapping[str, Tensor]]:
        brought = [tasks[place] for place in places]
        self.asked.append(brought)
        statistics = {name: values[brought] for name, values in self.batch.statistics.items()}
        return self.batch.coefficients[brought], statistics

    def of(self, slots: TaskSlots, *tasks: int) -> list[int]:
        wanted = list(tasks)
        return slots.of(list(map(str, wanted)), lambda places: self.some(wanted, places))


def small(kind: str = "partition") -> Network:
    with torch.device("meta"):
        backbone = Residual((1, 4, 4), 3, (2, 3), (1, 1))
    return network_of(backbone, (1, 4, 4), kind, 5)


def slots_of(network: Network, count: int) -> TaskSlots:
    layers = statistics_layers(network.backbone)
    whole = TaskSlots(network.bank.to(DEVICE), layers, 1 << 30, DEVICE)
    return TaskSlots(network.bank.to(DEVICE), layers, (1 << 30) // whole.count * count, DEVICE)


def assert_there(network: Network, slots: TaskSlots, brought: Brought, tasks: list[int]) -> None:
    found = brought.of(slots, *tasks)
    assert len(set(found)) == len(tasks)
    tables = all_planes(network.bank, brought.batch.coefficients[tasks])
    assert torch.equal(slots.tables[found].cpu(), tables)
    statistics = slots.statistics_of(torch.tensor(found, device=DEVICE))
    for name, values in brought.batch.statistics.items():
        assert torch.equal(statistics[name].cpu(), values[tasks])


@given(
    kind=st.sampled_from(["partition", "random"]),
    asked=st.lists(
        st.lists(st.integers(0, TASKS - 1), min_size=1, max_size=3, unique=True), max_size=8
    ),
)
@settings(max_examples=30)
def test_whoever_is_asked_for_is_there_whoever_had_to_make_room(
    kind: str, asked: list[list[int]]
) -> None:
    network = small(kind)
    slots, brought = slots_of(network, 3), Brought(network)
    for tasks in asked:
        assert_there(network, slots, brought, tasks)


def test_a_task_is_brought_once_while_it_stays() -> None:
    network = small()
    slots, brought = slots_of(network, 3), Brought(network)
    for tasks in ((0, 1), (1, 2), (2, 0)):
        brought.of(slots, *tasks)
    assert brought.asked == [[0, 1], [2]]


def test_the_least_lately_asked_for_makes_room() -> None:
    network = small()
    slots, brought = slots_of(network, 3), Brought(network)
    for tasks in ((0,), (1,), (2,), (0,), (3,), (0, 2), (1,)):
        brought.of(slots, *tasks)
    assert brought.asked == [[0], [1], [2], [3], [1]]


def test_what_could_not_be_brought_is_not_there() -> None:
    network = small()
    slots, brought = slots_of(network, 3), Brought(network)

    def fails(_: list[int]) -> tuple[Tensor, Mapping[str, Tensor]]:
        raise RuntimeError("it cannot be read")

    with pytest.raises(RuntimeError, match="it cannot be read"):
        slots.of(["0"], fails)
    assert_there(network, slots, brought, [0, 1, 2])


def test_more_tasks_than_slots_are_refused() -> None:
    network = small()
    slots, brought = slots_of(network, 2), Brought(network)
    with pytest.raises(ValueError, match="expected at most 2 tasks, got 3"):
        brought.of(slots, 0, 1, 2)


def test_room_for_no_task_is_refused() -> None:
    network = small()
    with pytest.raises(ValueError, match=r"expected room for a task of \d+ bytes, got 7"):
        TaskSlots(network.bank.to(DEVICE), (), 7, DEVICE)
