from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from masked_network.backbones import build_backbone
from masked_network.compiled import Kernels
from masked_network.fused_batch import FusedBatch
from masked_network.mixed_batch import MixedBatch
from masked_network.register_rows import MOST_ROWS
from masked_network.signed_codes import one_plane_layers
from tests.kernel_ways import COMPILED, compiled_way, each_way
from tests.mixed_batches import Network, assert_same_logits, backbones, network_of, task_mixes

Drawn = tuple[nn.Module, tuple[int, ...]]
Mix = tuple[int, list[int]]


def fused(network: Network, kernels: Kernels | None) -> FusedBatch:
    return FusedBatch(network.backbone, network.weights, network.bank, kernels)


def lenet(kind: str, size: int, groups: int = 1) -> Network:
    return network_of(build_backbone("lenet-300-100", (1, 5, 5), 10), (1, 5, 5), kind, size, groups)


@each_way
@given(
    drawn=backbones(),
    mix=task_mixes(),
    kind=st.sampled_from(["partition", "root", "ranked", "atoms", "random"]),
    size=st.integers(1, 8) | st.integers(1, 5000),
    groups=st.sampled_from([1, 1, 3]),
)
@settings(max_examples=60)
def test_a_fused_batch_answers_as_composing_does(
    kernels: Kernels | None, drawn: Drawn, mix: Mix, kind: str, size: int, groups: int
) -> None:
    size = {"atoms": 1 + size % 7, "random": 1 + size % 12}.get(kind, size)
    network = network_of(*drawn, kind, size, groups)
    batch, inputs = network.batch(*mix)
    assert_same_logits(fused(network, kernels)(batch, inputs), network.composed(batch, inputs))


@each_way
@pytest.mark.parametrize("size", [1, 255, 256, 257, 1024, 5000])
def test_many_codes_answer_as_composing_does(kernels: Kernels | None, size: int) -> None:
    for kind in ("partition", "ranked"):
        network = lenet(kind, size)
        batch, inputs = network.batch(40, list(range(40)))
        assert_same_logits(fused(network, kernels)(batch, inputs), network.composed(batch, inputs))


@compiled_way
def test_what_else_is_in_a_batch_changes_no_bit_of_a_row(kernels: Kernels) -> None:
    network = lenet("partition", 64)
    batch, inputs = network.batch(33, list(range(33)))
    answer = fused(network, kernels)
    inputs[7] = torch.nan
    logits = answer(batch, inputs)
    assert bool(logits[7].isnan().all())
    for row in (0, 6, 8, 16, 32):
        alone = MixedBatch(batch.coefficients, batch.task_of_row[row : row + 1])
        assert torch.equal(answer(alone, inputs[row : row + 1])[0], logits[row])


@compiled_way
@pytest.mark.parametrize("name", ["fc-1024-1024", "resnet-18-small"])
def test_as_many_threads_as_torch_has_share_rows_out_and_change_no_bit(
    kernels: Kernels, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(build_backbone(name, (1, 6, 6), 10), (1, 6, 6), "partition", 64)
    batch, inputs = network.batch(7, [row % 7 for row in range(70)])
    answers = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        answer = fused(network, kernels)
        with torch.inference_mode():  # as the service does, and no thread but this one's
            answers.append(answer(batch, inputs.clone()))
    assert torch.equal(*answers)


@each_way
@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *(("partition", 8), ("partition", 256), ("ranked", 8), ("ranked", 300)),
        *(("random", size) for size in (1, 5, 6, 8, 10, 12)),
    ],
)
def test_few_rows_of_any_tasks_have_the_bits_of_a_batch(
    kernels: Kernels | None, kind: str, size: int
) -> None:
    network = lenet(kind, size)
    batch, inputs = network.batch(2, [1, 0, 0] * MOST_ROWS)
    numbers = torch.randn(4 if size > 256 else 64)
    kept = numbers[torch.randint(len(numbers), batch.coefficients.shape)]
    batch.coefficients[:] = kept if network.bank.origin is None else kept + network.bank.origin
    answer = fused(network, kernels)
    tasks, rows = batch.task_of_row.numpy(), inputs.flatten(start_dim=1).numpy()
    if answer.few_rows is None:
        assert kernels is None or not kernels.permutes_bytes
        return
    few = answer.few_rows(kept.numpy(), tasks[:MOST_ROWS], rows[:MOST_ROWS])
    assert few is not None
    assert torch.equal(torch.from_numpy(few), answer(batch, inputs)[:MOST_ROWS])


@each_way
def test_threads_with_a_network_each_do_not_disturb_each_other(kernels: Kernels | None) -> None:
    network = lenet("partition", 256)
    batches = [network.batch(20, list(range(20)), seed) for seed in range(4)]
    expected = [fused(network, kernels)(*batch) for batch in batches]

    def repeated(index: int) -> bool:
        answer = fused(network, kernels)
        return all(torch.equal(answer(*batches[index]), expected[index]) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(repeated, range(4)))


def test_more_overlapping_masks_than_one_plane_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 12 that overlap, got 13 of a random bank"):
        fused(lenet("random", 13), COMPILED)


def test_weights_of_several_magnitudes_are_refused() -> None:
    network = lenet("partition", 4)
    network.weights["hidden2.weight"][3, 5] *= 2
    with pytest.raises(ValueError, match=r"hidden2.weight: expected weights of one magnitude"):
        fused(network, COMPILED)


@pytest.mark.parametrize("code", [-1, 4, 1 << 20])
def test_a_code_beyond_the_masks_is_refused(code: int) -> None:
    network = lenet("partition", 4)
    network.bank.codes[1][0, 17] = code
    with pytest.raises(ValueError, match=r"hidden2.weight: expected codes 0 to 3, got"):
        fused(network, COMPILED)


def test_more_codes_than_two_bytes_hold_with_their_signs_are_refused() -> None:
    backbone = build_backbone("lenet-300-100", (1, 12, 12), 10)
    network = network_of(backbone, (1, 12, 12), "partition", 20_000, groups=2)
    with pytest.raises(ValueError, match=r"hidden1.weight: expected at most 32768 codes, got 4"):
        fused(network, COMPILED)


@each_way
def test_what_does_not_fit_is_refused_in_words(kernels: Kernels | None) -> None:
    network = lenet("partition", 4)
    batch, inputs = network.batch(2, [0, 1])
    answer = fused(network, kernels)
    with pytest.raises(ValueError, match=r"expected coefficients \(3, 4\), got \(3, 5\)"):
        answer(MixedBatch(torch.zeros(2, 3, 5), batch.task_of_row), inputs)
    with pytest.raises(ValueError, match=r"expected fp32 in main memory, got torch.float64"):
        answer(batch, inputs.double())
    with pytest.raises(ValueError, match=r"expected 2 rows, got 1"):
        answer(batch, inputs[:1])


@compiled_way
def test_rows_of_another_length_are_refused(kernels: Kernels) -> None:
    network = lenet("partition", 4)
    batch, _ = network.batch(2, [0, 1])
    with pytest.raises(
        ValueError, match=r"hidden1.weight: expected rows of 25 channels, got \(26,"
    ):
        fused(network, kernels)(batch, torch.zeros(2, 26))


@compiled_way
@given(
    kind=st.sampled_from(["partition", "root", "ranked", "atoms", "random"]),
    size=st.integers(1, 13),
    groups=st.sampled_from([1, 3]),
    tasks=st.integers(1, 5),
    rows=st.sampled_from([1, 2, 7, 2050]),
)
@settings(max_examples=25, deadline=None)
def test_the_same_rows_by_every_task_are_answered_as_composing_does(
    kernels: Kernels, kind: str, size: int, groups: int, tasks: int, rows: int
) -> None:
    size = {"atoms": 1 + size % 4, "random": 1 + size % 4}.get(kind, size)
    backbone = build_backbone("lenet-300-100", (1, 9, 11), 10)
    network = network_of(backbone, (1, 9, 11), kind, size, groups)
    coefficients = network.batch(tasks, [0])[0].coefficients
    inputs = torch.randn(rows, 1, 9, 11, generator=torch.Generator().manual_seed(rows))
    logits = fused(network, kernels).every_task(coefficients, inputs)
    first = one_plane_layers(network.weights, network.bank)[0]
    assert (logits is None) == (2 * first.entries > 99)
    if logits is None:
        return
    assert logits.shape == (tasks, rows, 10)
    for own, found in zip(coefficients, logits, strict=True):
        alone = MixedBatch(own.unsqueeze(0), torch.zeros(rows, dtype=torch.int64))
        assert_same_logits(found, network.composed(alone, inputs))


@compiled_way
def test_where_codes_are_as_many_as_terms_the_same_rows_are_for_others(kernels: Kernels) -> None:
    network = lenet("partition", 13)
    batch, inputs = network.batch(2, [0])
    assert fused(network, kernels).every_task(batch.coefficients, inputs) is None
    few = fused(lenet("partition", 12), kernels)
    with pytest.raises(ValueError, match="expected rows of 25, got"):
        few.every_task(batch.coefficients[:, :, :12], inputs[:, :, :4])
    with pytest.raises(ValueError, match="expected coefficients"):
        few.every_task(batch.coefficients[:, :, :11], inputs)
