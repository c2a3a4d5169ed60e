"""Coefficients as an artifact keeps them: those that a weight uses, and no others."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.composition import compose
from masked_network.mask_bank import partition_bank
from masked_network.quantisation import straight_through_levels
from model_store.coefficient_tensors import (
    Precision,
    coefficients_of,
    packed_bits,
    precision_of,
    quantised,
)
from model_store.compatibility import check_artifact
from model_store.errors import InvalidArtifact
from model_store.manifest import BankRecord
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact, parse_artifact

PRECISIONS: list[Precision] = ["fp16", "int8", "int4", "int2"]
PACKED: list[Precision] = ["int4", "int2"]
K = 5
COEFFICIENTS = st.lists(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=K, max_size=K), min_size=1, max_size=3
).map(torch.tensor)
COUNTS = st.lists(st.integers(0, K), min_size=3, max_size=3)


def used_of(coefficients: Tensor, counts: list[int]) -> Tensor:
    """As many of each layer as `counts` says, the first layer's at least one."""
    rows = torch.tensor([max(1, counts[0]), *counts[1:]])[: len(coefficients)]
    return torch.arange(K) < rows.unsqueeze(1)


@given(COEFFICIENTS, COUNTS)
def test_fp16_is_the_nearest_half(coefficients: Tensor, counts: list[int]) -> None:
    used = used_of(coefficients, counts)
    kept = coefficients_of(quantised(coefficients, used, "fp16"), used)
    assert torch.equal(kept, coefficients.half().float().where(used, 0.0))


@given(COEFFICIENTS, COUNTS)
def test_int8_is_off_by_at_most_half_a_step(coefficients: Tensor, counts: list[int]) -> None:
    used = used_of(coefficients, counts)
    tensors = quantised(coefficients, used, "int8")
    off = (coefficients_of(tensors, used) - coefficients).abs().double().where(used, 0.0)
    step = coefficients.abs().where(used, 0.0).amax(dim=1, keepdim=True).double() / 127
    # A step is rounded to fp16, and is no smaller than its least normal number.
    assert bool((off <= 0.501 * step + 4e-5).all())


@given(COEFFICIENTS, COUNTS, st.sampled_from(PACKED))
def test_what_was_learned_through_the_rounding_is_kept(
    coefficients: Tensor, counts: list[int], precision: Precision
) -> None:
    used, bits = used_of(coefficients, counts), packed_bits(precision)
    assert bits is not None
    kept = coefficients_of(quantised(coefficients, used, precision), used)
    assert torch.equal(kept, straight_through_levels(coefficients, used, bits).where(used, 0.0))


@given(COEFFICIENTS, COUNTS, st.sampled_from(PRECISIONS))
def test_several_tasks_at_once_are_kept_as_each_alone(
    coefficients: Tensor, counts: list[int], precision: Precision
) -> None:
    used = used_of(coefficients, counts)
    tasks = torch.stack([coefficients, coefficients.flip(1), 3 - coefficients])
    stacked = quantised(tasks, used, precision)
    for index, one in enumerate(tasks):
        alone = quantised(one, used, precision)
        assert all(torch.equal(stacked[name][index], kept) for name, kept in alone.items())


@given(COEFFICIENTS, COUNTS, st.sampled_from(PRECISIONS))
def test_the_tensors_say_their_precision(
    coefficients: Tensor, counts: list[int], precision: Precision
) -> None:
    tensors = quantised(coefficients, used_of(coefficients, counts), precision)
    assert precision_of(tensors) == precision


@given(COEFFICIENTS, COUNTS, st.sampled_from(PRECISIONS))
def test_what_is_not_used_takes_no_byte_and_changes_none(
    coefficients: Tensor, counts: list[int], precision: Precision
) -> None:
    used = used_of(coefficients, counts)
    tensors = quantised(coefficients, used, precision)
    count, layers = int(used.sum()), int(used.any(dim=1).sum())
    taken = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    scales = 2 * layers
    expected = {
        "fp16": 2 * count,
        "int8": count + scales,
        "int4": -(-count // 2) + scales,
        "int2": 2 * -(-count // 8) + scales,
    }
    assert taken == expected[precision]
    other = quantised(coefficients.where(used, 7e3), used, precision)
    assert all(torch.equal(other[name], tensor) for name, tensor in tensors.items())


def test_zero_coefficients_stay_zero_in_int8() -> None:
    used = torch.ones(2, 3, dtype=torch.bool)
    tensors = quantised(torch.zeros(2, 3), used, "int8")
    assert not tensors["coefficients"].any()
    assert bool((tensors["scales"] > 0).all())


@pytest.fixture(scope="module")
def many_groups(network: FrozenNetwork) -> FrozenNetwork:
    """Of the layers' 2700, 30000 and 500 weights, the last cannot fill a partition of 601."""
    bank = partition_bank(network.layers, 601, 2)
    fingerprint = bank.fingerprint()
    record = BankRecord(
        kind="partition", size=601, density=1 / 601, seed=2, fingerprint=fingerprint
    )
    manifest = network.manifest.model_copy(update={"bank": record})
    return replace(network, manifest=manifest, bank=bank)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_small_layer_keeps_one_coefficient_a_weight(
    many_groups: FrozenNetwork, make_artifact: Callable[..., TaskArtifact], precision: Precision
) -> None:
    artifact = parse_artifact(make_artifact(many_groups, precision).content)
    check_artifact(many_groups, artifact)
    count = 2 * 601 + 500
    in_an_element = {"int4": 2, "int2": 8}.get(precision, 1)
    assert artifact.tensors["coefficients"].shape == (-(-count // in_an_element),)
    coefficients = many_groups.coefficients(artifact)
    assert coefficients.shape == (3, 601)
    assert not coefficients[2, 500:].any()
    expected = compose(many_groups.weights, many_groups.bank, coefficients)
    composed = many_groups.composed(artifact)
    assert all(torch.equal(composed[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize("precision", PACKED)
def test_bits_that_nothing_uses_are_empty(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact], precision: Precision
) -> None:
    bank = partition_bank(network.layers, 11, 2)
    odd = replace(network, bank=bank)
    good = make_artifact(odd, precision)
    check_artifact(odd, good)
    values = good.tensors["coefficients"].clone()
    values.view(torch.uint8)[-1] |= 0x10
    bad = replace(good, tensors={**good.tensors, "coefficients": values})
    with pytest.raises(InvalidArtifact, match="padding bits beyond 33 levels are set"):
        check_artifact(odd, bad)


def test_a_supermask_has_no_coefficients(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact]
) -> None:
    with pytest.raises(ValueError, match="no coefficients"):
        network.coefficients(make_artifact(network, "supermask"))
