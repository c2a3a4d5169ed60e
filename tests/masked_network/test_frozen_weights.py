import hashlib

import pytest
import torch

from masked_network.backbones import MaskedLayer, build_backbone, masked_layers
from masked_network.frozen_weights import fingerprint, signed_constant_weights
from masked_network.mask_bank import partition_bank, random_bank

LAYERS = masked_layers(build_backbone("lenet-300-100", (1, 28, 28), 10))


def test_weights_of_seed_one_are_the_same_on_every_machine_and_version() -> None:
    assert fingerprint(signed_constant_weights(LAYERS, 1)) == (
        "sha256:b8e6f14db495be9e638bf56e1ff41cbf2aaf63408a2570f755d3df61ff8b2b76"
    )


def test_partition_bank_of_seed_one_is_the_same_on_every_machine_and_version() -> None:
    assert partition_bank(LAYERS, 300, 1).fingerprint() == (
        "sha256:4cb8aabace2b8b428bb1995a67f130da2a64df3244c568fe79996f6bc71c518d"
    )


def test_random_bank_of_seed_one_is_the_same_on_every_machine_and_version() -> None:
    assert random_bank(LAYERS, 20, 0.05, 1).fingerprint() == (
        "sha256:352b3b7b464e72ec77b9ddf00b6f31c4dd6c8a83203a3456cbd14d58dc8c3df6"
    )


def test_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (signed_constant_weights(LAYERS, seed) for seed in (7, 7, 8))
    assert fingerprint(first) == fingerprint(again)
    for name, weight in first.items():
        assert not torch.equal(weight, other[name])


def test_every_weight_is_the_layers_constant_with_a_sign() -> None:
    for layer, weight in zip(LAYERS, signed_constant_weights(LAYERS, 3).values(), strict=True):
        constant = torch.tensor((2 / layer.fan_in) ** 0.5, dtype=torch.float32)
        assert weight.dtype == torch.float32
        assert weight.shape == layer.shape
        assert torch.equal(weight.abs(), constant.expand(layer.shape))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_signs_are_balanced_within_five_standard_deviations(layer: MaskedLayer) -> None:
    (weight,) = signed_constant_weights([layer], 5).values()
    positive = int((weight > 0).sum())
    assert abs(positive - layer.size / 2) < 5 * layer.size**0.5 / 2


def test_layers_of_one_shape_have_different_signs() -> None:
    twins = [MaskedLayer("one", (64, 64)), MaskedLayer("two", (64, 64))]
    one, two = signed_constant_weights(twins, 1).values()
    assert not torch.equal(one, two)


@pytest.mark.parametrize(
    "changed",
    [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.float64)},
        {"a": torch.zeros(2, 3).index_fill(1, torch.tensor([2]), 1)},
        {"a": torch.zeros(2, 3), "b": torch.zeros(0)},
    ],
    ids=["name", "shape", "dtype", "value", "one-more"],
)
def test_fingerprint_tells_apart_what_differs_in_one_thing(
    changed: dict[str, torch.Tensor],
) -> None:
    assert fingerprint(changed) != fingerprint({"a": torch.zeros(2, 3)})


def test_fingerprint_depends_on_the_order_of_layers() -> None:
    one, two = torch.ones(2), torch.zeros(2)
    assert fingerprint({"a": one, "b": two}) != fingerprint({"b": two, "a": one})


def test_fingerprint_does_not_depend_on_how_a_tensor_lies_in_memory() -> None:
    values = torch.arange(6.0).reshape(2, 3)
    assert fingerprint({"a": values}) == fingerprint({"a": values.t().contiguous().t()})


def test_fingerprint_is_sha256_over_name_type_shape_and_little_endian_values() -> None:
    expected = hashlib.sha256(b"a\x00float32\x00[1]\x00\x00\x00\x80\x3f").hexdigest()
    assert fingerprint({"a": torch.ones(1)}) == f"sha256:{expected}"
