from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.backbones import build_backbone
from masked_network.compiled import Kernels, compiled_kernels
from masked_network.fully_connected import FullyConnected
from masked_network.mixed_batch import MixedBatch
from masked_network.register_rows import RegisterRows
from masked_network.signed_codes import one_plane_layers
from tests.mixed_batches import Network, assert_same_logits, network_of

COMPILED = compiled_kernels()
WAYS = [COMPILED] if COMPILED is not None and COMPILED.permutes_bytes else []

with_registers = pytest.mark.parametrize("kernels", WAYS, ids=["this machine"][: len(WAYS)])


def network(
    inputs: int, hidden: tuple[int, int], outputs: int, kind: str, size: int, groups: int = 1
) -> Network:
    with torch.device("meta"):
        backbone = FullyConnected((inputs,), outputs, hidden)
    return network_of(backbone, (inputs,), kind, size, groups)


def of_few_numbers(network: Network, tasks: int, numbers: int) -> Tensor:
    generator = torch.Generator().manual_seed(numbers)
    shape = (tasks, len(network.bank.codes), network.bank.size)
    levels = torch.randn(*shape[:2], numbers, generator=generator)
    places = torch.randint(numbers, shape, generator=generator)
    return levels.gather(2, places)


def in_registers(
    network: Network,
    batch: MixedBatch,
    inputs: Tensor,
    kernels: Kernels,
    origin: Tensor | None = None,
) -> Tensor:
    layers = one_plane_layers(network.weights, network.bank)
    rows = RegisterRows(layers, kernels, replace(network.bank, origin=origin))
    flat = inputs.flatten(start_dim=1)
    logits = rows(batch.coefficients.numpy(), batch.task_of_row.numpy(), flat.numpy())
    assert logits is not None
    return torch.from_numpy(logits)


@with_registers
@given(
    inputs=st.integers(1, 70),
    hidden=st.tuples(st.integers(1, 140), st.integers(1, 70)),
    outputs=st.integers(1, 13),
    kind=st.sampled_from(["partition", "root", "ranked"]),
    size=st.integers(1, 300) | st.integers(1, 4096),
    numbers=st.integers(1, 16),
    groups=st.sampled_from([1, 1, 3]),
    tasks=st.lists(st.integers(0, 2), min_size=1, max_size=3),
)
def test_tables_of_few_numbers_answer_as_composing_does(
    kernels: Kernels,
    inputs: int,
    hidden: tuple[int, int],
    outputs: int,
    kind: str,
    size: int,
    numbers: int,
    groups: int,
    tasks: list[int],
) -> None:
    made = network(inputs, hidden, outputs, kind, min(size, 4096 // groups), groups)
    # The first layer, cut in groups, has a table a group: together no more than 16 numbers.
    numbers = max(1, numbers // groups)
    batch, rows = made.batch(3, tasks)
    batch = MixedBatch(of_few_numbers(made, 3, numbers), batch.task_of_row)
    assert_same_logits(in_registers(made, batch, rows, kernels), made.composed(batch, rows))


@with_registers
@pytest.mark.parametrize("size", [256, 257, 512, 513, 1024, 1025, 2048, 2049, 4096])
@pytest.mark.parametrize("numbers", [1, 3, 4, 5, 16])
def test_so_do_those_of_four_numbers_and_of_more_at_every_width(
    kernels: Kernels, size: int, numbers: int
) -> None:
    made = network(120, (70, 10), 5, "partition", size)
    batch, rows = made.batch(2, [1, 0, 1])
    batch = MixedBatch(of_few_numbers(made, 2, numbers), batch.task_of_row)
    assert_same_logits(in_registers(made, batch, rows, kernels), made.composed(batch, rows))


@with_registers
@pytest.mark.parametrize("type_", [torch.float16, torch.float32])
@pytest.mark.parametrize("size", [17, 128, 256])
def test_so_do_those_of_any_numbers_of_two_bytes_and_of_four(
    kernels: Kernels, size: int, type_: torch.dtype
) -> None:
    made = network(120, (70, 10), 5, "partition", size)
    batch, rows = made.batch(2, [1, 0, 1])
    batch.coefficients[:] = batch.coefficients.to(type_)
    assert_same_logits(in_registers(made, batch, rows, kernels), made.composed(batch, rows))


@with_registers
@given(
    inputs=st.integers(1, 70),
    hidden=st.tuples(st.integers(1, 140), st.integers(1, 70)),
    masks=st.integers(1, 12),
    tasks=st.lists(st.integers(0, 2), min_size=1, max_size=3),
)
def test_so_do_coefficients_of_masks_that_overlap(
    kernels: Kernels, inputs: int, hidden: tuple[int, int], masks: int, tasks: list[int]
) -> None:
    made = network(inputs, hidden, 7, "random", masks)
    batch, rows = made.batch(3, tasks)
    assert_same_logits(in_registers(made, batch, rows, kernels), made.composed(batch, rows))


@with_registers
@given(
    inputs=st.integers(1, 70),
    hidden=st.tuples(st.integers(1, 140), st.integers(1, 70)),
    size=st.integers(1, 300) | st.integers(1, 4096),
    numbers=st.integers(1, 16),
    groups=st.sampled_from([1, 1, 3]),
)
def test_an_origin_of_any_numbers_is_added_to_tables_of_few(
    kernels: Kernels,
    inputs: int,
    hidden: tuple[int, int],
    size: int,
    numbers: int,
    groups: int,
) -> None:
    made = network(inputs, hidden, 7, "root", min(size, 4096 // groups), groups)
    kept = of_few_numbers(made, 2, max(1, numbers // groups))
    origin = torch.randn(kept.shape[1:], generator=torch.Generator().manual_seed(size))
    batch, rows = made.batch(2, [1, 0])
    batch, whole = (
        MixedBatch(coefficients, batch.task_of_row) for coefficients in (kept, kept + origin)
    )
    got = in_registers(made, batch, rows, kernels, origin)
    assert_same_logits(got, made.composed(whole, rows))


@with_registers
def test_what_registers_cannot_hold_is_left_to_others(kernels: Kernels) -> None:
    made = network(40, (30, 10), 5, "partition", 257)
    layers = one_plane_layers(made.weights, made.bank)
    tasks, rows = np.zeros(1, np.int64), np.ones((1, 40), np.float32)
    answer = RegisterRows(layers, kernels, made.bank)
    assert answer(of_few_numbers(made, 1, 16).numpy(), tasks, rows) is not None
    assert answer(torch.arange(3 * 257.0).view(1, 3, 257).numpy(), tasks, rows) is None
    larger = network(70, (70, 10), 5, "partition", 4097)
    with pytest.raises(ValueError, match="at most 4096 codes, got 4097"):
        RegisterRows(one_plane_layers(larger.weights, larger.bank), kernels, larger.bank)
    cut = network(40, (30, 10), 5, "random", 4, groups=3)
    with pytest.raises(ValueError, match="overlap in whole layers, got channel groups"):
        RegisterRows(one_plane_layers(cut.weights, cut.bank), kernels, cut.bank)


@with_registers
def test_not_a_number_and_infinity_stay_what_they_are(kernels: Kernels) -> None:
    backbone = build_backbone("lenet-300-100", (1, 5, 5), 10)
    made = network_of(backbone, (1, 5, 5), "partition", 16)
    batch, rows = made.batch(2, [0, 1])
    rows[0, 0, 0, 0] = torch.nan
    batch.coefficients[1, 2, 3] = torch.inf
    expected = made.composed(batch, rows)
    logits = in_registers(made, batch, rows, kernels)
    assert bool(logits[0].isnan().all())
    assert torch.equal(logits[1].isfinite(), expected[1].isfinite())
