from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.composition import compose
from model_store.bank_file import bank_file
from model_store.compatibility import check_artifact
from model_store.errors import (
    CorruptStore,
    IncompatibleBackbone,
    InvalidArtifact,
    StoreError,
)
from model_store.manifest import Manifest
from model_store.network import FrozenNetwork, frozen_network
from model_store.packing import pack_bits, unpack_bits
from model_store.task_artifact import TaskArtifact
from model_store.task_record import TaskRecord

Damage = Callable[[dict[str, Tensor]], None]
MakeArtifact = Callable[..., TaskArtifact]


def changed(manifest: Manifest, part: str, **fields: object) -> Manifest:
    record = getattr(manifest, part).model_copy(update=fields)
    return manifest.model_copy(update={part: record})


def bank_bytes(network: FrozenNetwork) -> bytes | None:
    learned = network.manifest.bank.seed is None
    return bank_file(network.bank, network.segments) if learned else None


def test_network_made_from_its_manifest_is_the_network(each_network: FrozenNetwork) -> None:
    made = frozen_network(each_network.manifest, bank_bytes(each_network))
    assert made.bank.fingerprint() == each_network.bank.fingerprint()
    assert made.layers == each_network.layers
    assert all(torch.equal(made.weights[name], w) for name, w in each_network.weights.items())
    assert all(map(torch.equal, made.bank.codes, each_network.bank.codes))


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("backbone", {"seed": 4}),
        ("backbone", {"outputs": 6}),
        ("backbone", {"name": "resnet-18"}),
        ("backbone", {"fingerprint": "sha256:" + "0" * 64}),
        ("bank", {"seed": 4}),
        ("bank", {"size": 11}),
        ("bank", {"channel_groups": 2}),
        ("bank", {"density": 0.25}),
        ("bank", {"kind": "random"}),
        ("bank", {"fingerprint": "sha256:" + "0" * 64}),
        ("preprocessing", {"width": 4}),
    ],
)
def test_manifest_that_describes_another_network_is_corrupt(
    network: FrozenNetwork, part: str, field: dict[str, object]
) -> None:
    with pytest.raises(CorruptStore, match=r"^manifest\.json: "):
        frozen_network(changed(network.manifest, part, **field), None)


def test_wrong_seed_is_told_by_both_fingerprints(network: FrozenNetwork) -> None:
    expected = network.manifest.backbone.fingerprint
    with pytest.raises(CorruptStore, match=f"seed 4 .* sha256:.* the manifest says {expected}"):
        frozen_network(changed(network.manifest, "backbone", seed=4), None)


@pytest.mark.parametrize(
    "field",
    [{"size": 9}, {"size": 16}, {"channel_groups": 2}, {"density": 0.2}, {"kind": "homogeneous"}],
)
def test_learned_bank_other_than_the_manifest_says_is_corrupt(
    networks: dict[str, FrozenNetwork], field: dict[str, object]
) -> None:
    learned = networks["heterogeneous"]
    with pytest.raises(CorruptStore):
        frozen_network(changed(learned.manifest, "bank", **field), bank_bytes(learned))


def _without_a_layer(masks: dict[str, Tensor]) -> None:
    del masks["classifier.weight"]


def _scalar(masks: dict[str, Tensor]) -> None:
    masks["classifier.weight"] = torch.tensor(0, dtype=torch.uint8)


def _one_mask_fewer(masks: dict[str, Tensor]) -> None:
    masks["classifier.weight"] = masks["classifier.weight"][1:].contiguous()


def _flat(masks: dict[str, Tensor]) -> None:
    masks["classifier.weight"] = masks["classifier.weight"][0].contiguous()


def _no_masks(masks: dict[str, Tensor]) -> None:
    for name, packed in masks.items():
        masks[name] = packed[:0]


def _one_bit(masks: dict[str, Tensor]) -> None:
    masks["hidden1.weight"][3, 5] ^= 1


def _padding_bit(masks: dict[str, Tensor]) -> None:
    masks["classifier.weight"][0, -1] |= 0x80


@pytest.mark.parametrize(
    "damage",
    [_without_a_layer, _scalar, _one_mask_fewer, _flat, _no_masks, _one_bit, _padding_bit],
)
def test_damaged_bank_is_corrupt_and_named(
    networks: dict[str, FrozenNetwork], damage: Callable[[dict[str, Tensor]], None]
) -> None:
    learned = networks["heterogeneous"]
    masks = safetensors.torch.load(bank_file(learned.bank, learned.segments))
    damage(masks)
    with pytest.raises(CorruptStore, match=r"^bank\.safetensors: "):
        frozen_network(learned.manifest, safetensors.torch.save(masks))


@given(st.binary(max_size=100))
def test_bytes_that_are_no_bank_are_corrupt(
    networks: dict[str, FrozenNetwork], data: bytes
) -> None:
    with pytest.raises(CorruptStore, match=r"^bank\.safetensors: "):
        frozen_network(networks["heterogeneous"].manifest, data)


def test_missing_bank_is_corrupt(networks: dict[str, FrozenNetwork]) -> None:
    with pytest.raises(CorruptStore, match=r"^bank\.safetensors: missing"):
        frozen_network(networks["heterogeneous"].manifest, None)


def test_artifact_of_coefficients_is_composed_over_the_bank(
    each_network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    for form in ("fp16", "int8"):
        artifact = make_artifact(each_network, form)
        expected = compose(
            each_network.weights, each_network.bank, each_network.coefficients(artifact)
        )
        composed = each_network.composed(artifact)
        assert list(composed) == [layer.name for layer in each_network.layers]
        assert all(torch.equal(composed[name], weight) for name, weight in expected.items())


def test_artifact_of_a_supermask_keeps_its_weights_and_no_others(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(network, "supermask")
    composed = network.composed(artifact)
    for layer in network.layers:
        mask = unpack_bits(artifact.tensors[f"supermask/{layer.name}"], layer.size)
        kept = mask.reshape(layer.shape)
        assert 0.29 < float(kept.float().mean()) < 0.31
        assert torch.equal(network.supermask(artifact)[layer.name], kept)
        assert torch.equal(composed[layer.name], network.weights[layer.name].where(kept, 0.0))


def test_hybrid_is_composed_over_the_bank_but_for_its_last_layer(
    each_network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(each_network, "hybrid")
    assert artifact.kind == "hybrid"
    coefficients = each_network.coefficients(artifact)
    of_last = [one.name.startswith("classifier") for one in each_network.segments]
    assert bool(coefficients[~torch.tensor(of_last)].any(dim=1).all())
    assert not coefficients[of_last].any()
    expected = compose(each_network.weights, each_network.bank, coefficients)
    ((last, kept),) = each_network.supermask(artifact).items()
    assert last == "classifier.weight"
    expected[last] = each_network.weights[last].where(kept, 0.0)
    composed = each_network.composed(artifact)
    assert list(composed) == list(expected)
    assert all(torch.equal(composed[name], weight) for name, weight in expected.items())


def test_a_task_of_a_grouped_bank_has_coefficients_for_each_group_of_channels(
    networks: dict[str, FrozenNetwork], make_artifact: MakeArtifact
) -> None:
    grouped = networks["grouped partition"]
    artifact = make_artifact(grouped, "int8")
    assert grouped.coefficients(artifact).shape == (9, 10)
    assert artifact.tensor_bytes == 9 * 10 + 9 * 2
    assert make_artifact(grouped, "hybrid").tensor_bytes == 6 * 10 + 6 * 2 + 63
    with pytest.raises(IncompatibleBackbone, match="bank fingerprint"):
        check_artifact(networks["partition"], artifact)


def test_network_moved_is_the_same_network(
    each_network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    moved = each_network.to(torch.device("cpu"))
    artifact = make_artifact(each_network)
    check_artifact(moved, artifact)
    composed = moved.composed(artifact)
    for name, weight in each_network.composed(artifact).items():
        assert torch.equal(composed[name], weight)


def test_every_form_that_the_trainer_makes_fits(
    each_network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    for form in ("fp16", "int8", "int4", "hybrid", "supermask", "sparse"):
        check_artifact(each_network, make_artifact(each_network, form, classes=tuple("abcde")))


OTHER = "0" * 16


@pytest.mark.parametrize(
    ("form", "what", "found"),
    [
        ("fp16", "weights", OTHER),
        ("supermask", "weights", OTHER),
        ("int8", "preprocessing", OTHER),
        ("supermask", "preprocessing", OTHER),
        ("int8", "bank", OTHER),
        ("hybrid", "bank", OTHER),
        ("fp16", "bank", None),
    ],
)
def test_artifact_made_for_something_else_is_incompatible_and_says_with_what(
    network: FrozenNetwork,
    make_artifact: MakeArtifact,
    form: str,
    what: str,
    found: str | None,
) -> None:
    refusal = rf"expected the {what} fingerprint \w+, got {found or 'none'}$"
    with pytest.raises(IncompatibleBackbone, match=refusal):
        check_artifact(network, make_artifact(network, form, made_for={what: found}))


@pytest.mark.parametrize("form", ["fp16", "int8", "supermask"])
def test_artifact_for_other_inputs_is_incompatible(
    network: FrozenNetwork, make_artifact: MakeArtifact, form: str
) -> None:
    other = changed(network.manifest, "preprocessing", mean=0.25)
    elsewhere = replace(network, manifest=other)
    with pytest.raises(IncompatibleBackbone, match="preprocessing"):
        check_artifact(network, make_artifact(elsewhere, form))


def test_supermask_that_names_a_bank_is_invalid(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    with pytest.raises(InvalidArtifact, match="uses no bank, but its record names one"):
        check_artifact(network, make_artifact(network, "supermask", made_for={"bank": OTHER}))


def test_more_classes_than_outputs_are_refused_with_both(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    with pytest.raises(InvalidArtifact, match="6 classes, but the backbone has 5 outputs"):
        check_artifact(network, make_artifact(network, classes=tuple("abcdef")))


L, K = 3, 10
HALVES = torch.zeros(L * K, dtype=torch.float16)
BYTES = torch.zeros(L * K, dtype=torch.int8)
NIBBLES = torch.zeros(L * K // 2, dtype=torch.uint8)
SCALES = torch.ones(L, dtype=torch.float16)


def with_value(values: Tensor, value: float) -> Tensor:
    values = values.clone()
    values.view(-1)[-1] = value
    return values


INVALID_COEFFICIENTS: dict[str, dict[str, Tensor]] = {
    "nan": {"coefficients": with_value(HALVES, float("nan"))},
    "infinity": {"coefficients": with_value(HALVES, float("inf"))},
    "minus infinity": {"coefficients": with_value(HALVES, float("-inf"))},
    "too large": {"coefficients": with_value(HALVES, 10_016)},
    "too negative": {"coefficients": with_value(HALVES, -10_016)},
    "too few masks": {"coefficients": HALVES[L:]},
    "too many masks": {"coefficients": HALVES.repeat(2)},
    "too few layers": {"coefficients": HALVES[K:]},
    "by layer": {"coefficients": HALVES.view(L, K)},
    "empty": {"coefficients": HALVES[:0]},
    "many dimensions": {"coefficients": torch.zeros([1] * 1000, dtype=torch.float16)},
    "fp32": {"coefficients": HALVES.float()},
    "bf16": {"coefficients": HALVES.bfloat16()},
    "complex": {"coefficients": HALVES.to(torch.complex64)},
    "int8 without scales": {"coefficients": BYTES},
    "fp16 with scales": {"coefficients": HALVES, "scales": SCALES},
    "fp32 scales": {"coefficients": BYTES, "scales": SCALES.float()},
    "too few scales": {"coefficients": BYTES, "scales": SCALES[1:]},
    "scales of two dimensions": {"coefficients": BYTES, "scales": SCALES.unsqueeze(1)},
    "scale of nan": {"coefficients": BYTES, "scales": with_value(SCALES, float("nan"))},
    "scale of infinity": {"coefficients": BYTES, "scales": with_value(SCALES, float("inf"))},
    "scale too large": {"coefficients": with_value(BYTES, 100), "scales": SCALES * 101},
    "int4 without scales": {"coefficients": NIBBLES},
    "int4 of too few masks": {"coefficients": NIBBLES[L:], "scales": SCALES},
    "int4 that is not packed": {"coefficients": BYTES.to(torch.uint8), "scales": SCALES},
    "int4 scale of nan": {"coefficients": NIBBLES, "scales": with_value(SCALES, float("nan"))},
    "foreign tensor": {"coefficients": HALVES, "bias": SCALES},
    "both forms": {"coefficients": HALVES, "supermask/hidden1.weight": BYTES},
    "nothing": {},
    "scales alone": {"scales": SCALES},
}


@pytest.mark.parametrize("case", INVALID_COEFFICIENTS)
def test_tensors_that_cannot_serve_are_invalid_and_said_so_in_few_words(
    network: FrozenNetwork, make_artifact: MakeArtifact, case: str
) -> None:
    artifact = TaskArtifact(make_artifact(network).record, INVALID_COEFFICIENTS[case])
    with pytest.raises(InvalidArtifact) as refusal:
        check_artifact(network, artifact)
    assert len(str(refusal.value)) < 600


def test_wrong_shape_is_told_with_the_expected_and_the_actual(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifact = TaskArtifact(make_artifact(network).record, {"coefficients": HALVES[L:]})
    expected = r"expected torch\.float16 \[30\], got torch\.float16 \[27\]"
    with pytest.raises(InvalidArtifact, match=expected):
        check_artifact(network, artifact)


def _missing_layer(tensors: dict[str, Tensor]) -> None:
    del tensors["supermask/hidden2.weight"]


def _foreign_layer(tensors: dict[str, Tensor]) -> None:
    tensors["supermask/hidden3.weight"] = torch.zeros(1, dtype=torch.uint8)


def _short_layer(tensors: dict[str, Tensor]) -> None:
    tensors["supermask/hidden2.weight"] = tensors["supermask/hidden2.weight"][1:]


def _unpacked_layer(tensors: dict[str, Tensor]) -> None:
    tensors["supermask/classifier.weight"] = torch.ones(500, dtype=torch.bool)


def _short_classifier(tensors: dict[str, Tensor]) -> None:
    tensors["supermask/classifier.weight"] = tensors["supermask/classifier.weight"][1:]


def _set_padding(tensors: dict[str, Tensor]) -> None:
    tensors["supermask/classifier.weight"] = pack_bits(torch.ones(504, dtype=torch.bool))


def _coefficients_of_the_last_layer(tensors: dict[str, Tensor]) -> None:
    tensors["coefficients"], tensors["scales"] = BYTES, SCALES


def _mask_of_a_layer_with_coefficients(tensors: dict[str, Tensor]) -> None:
    tensors["supermask/hidden2.weight"] = torch.zeros(3750, dtype=torch.uint8)


def _no_coefficients(tensors: dict[str, Tensor]) -> None:
    del tensors["coefficients"], tensors["scales"]


def _no_mask(tensors: dict[str, Tensor]) -> None:
    del tensors["supermask/classifier.weight"]


def _nan_scale(tensors: dict[str, Tensor]) -> None:
    tensors["scales"] = with_value(tensors["scales"], float("nan"))


@pytest.mark.parametrize(
    "damage",
    [
        _coefficients_of_the_last_layer,
        _mask_of_a_layer_with_coefficients,
        _no_coefficients,
        _no_mask,
        _nan_scale,
        _set_padding,
        _short_classifier,
    ],
)
def test_hybrid_that_does_not_fit_is_invalid(
    network: FrozenNetwork, make_artifact: MakeArtifact, damage: Damage
) -> None:
    artifact = make_artifact(network, "hybrid")
    tensors = dict(artifact.tensors)
    damage(tensors)
    with pytest.raises(InvalidArtifact):
        check_artifact(network, TaskArtifact(artifact.record, tensors))


@pytest.mark.parametrize(
    "damage", [_missing_layer, _foreign_layer, _short_layer, _unpacked_layer, _set_padding]
)
def test_supermask_that_does_not_fit_is_invalid(
    network: FrozenNetwork,
    make_artifact: MakeArtifact,
    damage: Damage,
) -> None:
    artifact = make_artifact(network, "supermask")
    tensors = dict(artifact.tensors)
    damage(tensors)
    with pytest.raises(InvalidArtifact):
        check_artifact(network, TaskArtifact(artifact.record, tensors))


CLASSIFIER_INDICES = "supermask-indices/classifier.weight"


def _indices(*places: int, dtype: torch.dtype = torch.int32) -> Damage:
    def damage(tensors: dict[str, Tensor]) -> None:
        tensors[CLASSIFIER_INDICES] = torch.tensor(places, dtype=dtype)

    return damage


def _twice(tensors: dict[str, Tensor]) -> None:
    tensors["supermask/classifier.weight"] = torch.zeros(63, dtype=torch.uint8)


def _bits_though_indices_are_smaller(tensors: dict[str, Tensor]) -> None:
    del tensors[CLASSIFIER_INDICES]
    mask = torch.zeros(500, dtype=torch.bool)
    mask[:15] = True
    tensors["supermask/classifier.weight"] = pack_bits(mask)


def _column(tensors: dict[str, Tensor]) -> None:
    tensors[CLASSIFIER_INDICES] = tensors[CLASSIFIER_INDICES].unsqueeze(1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_indices(3, 500), "from 0 to 499, got 3 to 500", id="beyond the layer"),
        pytest.param(_indices(-1, 3), "from 0 to 499, got -1 to 3", id="before the layer"),
        pytest.param(_indices(2**31 - 1), "from 0 to 499", id="far beyond"),
        pytest.param(_indices(-(2**31)), "from 0 to 499", id="far before"),
        pytest.param(_indices(4, 3), "ascending order", id="unsorted"),
        pytest.param(_indices(3, 3), "none of them twice", id="twice the same"),
        pytest.param(_indices(*range(16)), "fewer bytes as bits", id="more than bits would take"),
        pytest.param(_indices(3, dtype=torch.int64), "expected torch.int32", id="int64"),
        pytest.param(_column, r"expected torch.int32 \['any'\]", id="two dimensions"),
        pytest.param(_twice, "not expected: .supermask/classifier.weight", id="both forms"),
        pytest.param(_bits_though_indices_are_smaller, "fewer bytes as indices", id="bits"),
    ],
)
def test_indices_that_are_not_the_one_form_of_a_mask_are_invalid(
    network: FrozenNetwork, make_artifact: MakeArtifact, damage: Damage, message: str
) -> None:
    artifact = make_artifact(network, "sparse")
    tensors = dict(artifact.tensors)
    damage(tensors)
    with pytest.raises(InvalidArtifact, match=message):
        check_artifact(network, TaskArtifact(artifact.record, tensors))


@given(
    st.dictionaries(
        st.sampled_from(["coefficients", "scales", "supermask/hidden1.weight", CLASSIFIER_INDICES]),
        st.tuples(
            st.sampled_from([torch.float16, torch.int8, torch.float32, torch.bool, torch.int64]),
            st.lists(st.integers(0, 12), max_size=3),
        ),
        max_size=3,
    )
)
def test_check_of_any_tensors_passes_or_raises_our_own_error(
    network: FrozenNetwork,
    make_artifact: MakeArtifact,
    tensors: dict[str, tuple[torch.dtype, list[int]]],
) -> None:
    record: TaskRecord = make_artifact(network).record
    made: dict[str, Any] = {
        name: torch.zeros(shape, dtype=dtype) for name, (dtype, shape) in tensors.items()
    }
    artifact = TaskArtifact(record, made)
    try:
        check_artifact(network, artifact)
    except StoreError:
        return
    assert network.coefficients(artifact).shape == (L, K)
