"""A store's frozen network: from seeds, or with learned impressions."""

import pytest
import torch

from masked_network.composition import compose
from masked_network.mask_bank import BankKind
from model_store.bank_file import bank_file
from model_store.network import frozen_network
from training.bank_options import BankOptions
from training.budgets import layer_budget
from training.coefficients import CoefficientRecipe
from training.dedicated_masks import learn_supermask
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.mask_rules import MaskRule
from training.new_networks import new_network
from training.starts import Start, coefficient_scale, initial_coefficients
from training.task_streams import TaskStream

FIT = FitOptions(1, 3e-3, 64)


def test_a_seeded_bank_asks_for_no_data_and_is_kept_as_its_seed(digits: ImageSet) -> None:
    def no_data(_: int) -> ImageSet:
        raise AssertionError("asked for data")

    kinds: list[BankKind] = ["partition", "random"]
    for kind in kinds:
        made = new_network(BankOptions(kind, 16, seed=4), digits.preprocessing(), no_data, FIT)
        assert made.manifest.bank.seed == 4
        again = frozen_network(made.manifest, None)
        assert again.bank.fingerprint() == made.bank.fingerprint()


def test_default_densities_are_those_of_the_kind(digits: ImageSet) -> None:
    densities = {
        kind: BankOptions(kind, 20).resolved_density()
        for kind in ("partition", "random", "heterogeneous", "homogeneous")
    }
    assert densities == {
        "partition": 0.05,
        "random": 0.05,
        "heterogeneous": 0.5,
        "homogeneous": 0.5,
    }


def test_a_one_hot_coefficient_is_the_mask_of_the_task_it_was_learned_from(
    digits: ImageSet,
) -> None:
    stream = TaskStream("permuted")
    options = BankOptions("heterogeneous", 2)
    preprocessing = digits.preprocessing()
    made = new_network(options, preprocessing, lambda k: stream.task(digits, k), FIT)
    task = stream.task(digits, 1)
    masks = learn_supermask(
        made.backbone,
        made.weights,
        made.layers,
        task.train.examples(preprocessing),
        task.held_out.examples(preprocessing),
        10,
        MaskRule("top-k", 0.5),
        FIT,
    )
    one_hot = torch.tensor([[0.0, 1.0]] * len(made.layers))
    composed = compose(made.weights, made.bank, one_hot)
    for name, mask in masks.items():
        assert torch.equal(composed[name], made.weights[name] * mask)
    again = frozen_network(made.manifest, bank_file(made.bank, made.segments))
    assert again.bank.fingerprint() == made.bank.fingerprint()


def test_channel_groups_cut_the_same_learned_masks(digits: ImageSet) -> None:
    whole, cut = (
        new_network(
            BankOptions("heterogeneous", 2, channel_groups=groups),
            digits.preprocessing(),
            lambda _: digits,
            FIT,
        )
        for groups in (1, 3)
    )
    assert len(cut.bank.codes) == 3 * len(whole.bank.codes)
    for index in range(len(whole.layers)):
        parts = [cut.bank.mask(3 * index + part, 1) for part in range(3)]
        assert torch.equal(torch.cat(parts), whole.bank.mask(index, 1))
    again = frozen_network(cut.manifest, bank_file(cut.bank, cut.segments))
    assert again.bank.fingerprint() == cut.bank.fingerprint()


def test_homogeneous_impressions_differ_by_the_seed_alone(digits: ImageSet) -> None:
    asked = []

    def task(k: int) -> ImageSet:
        asked.append(k)
        return digits

    made = new_network(BankOptions("homogeneous", 3), digits.preprocessing(), task, FIT)
    assert asked == [0, 0, 0]
    first = [made.bank.mask(0, k) for k in range(3)]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])


def test_atoms_are_the_overlaps_of_the_impressions_that_a_learned_bank_has(
    digits: ImageSet,
) -> None:
    stream = TaskStream("permuted")
    preprocessing = digits.preprocessing()
    masks, atoms = (
        new_network(options, preprocessing, lambda k: stream.task(digits, k), FIT)
        for options in (BankOptions("heterogeneous", 3), BankOptions("atoms", 8))
    )
    for layer in range(len(masks.layers)):
        for k in range(3):
            assert torch.equal(atoms.bank.impression(layer, k), masks.bank.mask(layer, k))
    again = frozen_network(atoms.manifest, bank_file(atoms.bank, atoms.segments))
    assert again.bank.fingerprint() == atoms.bank.fingerprint()
    starts = [Start("one-hot", 1), Start("uniform")]
    one_hot, uniform = (
        [
            compose(made.weights, made.bank, initial_coefficients(made, start, 0, ()))
            for made in (masks, atoms)
        ]
        for start in starts
    )
    assert all(torch.equal(one_hot[0][name], one_hot[1][name]) for name in masks.weights)
    torch.testing.assert_close(uniform[0], uniform[1])
    assert torch.equal(coefficient_scale(atoms), torch.ones(3, 8))


def test_a_ranked_bank_gives_its_tasks_a_start_that_random_groups_do_not(digits: ImageSet) -> None:
    stream = TaskStream("rotated")
    ranked = BankOptions("ranked", 64, learned=3, spread="root")
    options = FitOptions(10, 1e-3, 64)
    network = new_network(
        ranked, digits.preprocessing(), lambda k: stream.task(digits, 2 * k), options
    )
    random = new_network(
        BankOptions(size=64, spread="root"), digits.preprocessing(), lambda _: digits, options
    )
    task = stream.task(digits, 3)  # between two of those that the bank was learned from
    accuracies = []
    for made in (network, random):
        artifact = CoefficientRecipe(FitOptions(3, 0.1, 64), "int2").learn(made, task, {})
        accuracies.append(artifact.record.held_out_accuracy or 0.0)
    assert accuracies[0] > accuracies[1] + 0.1
    again = frozen_network(network.manifest, bank_file(network.bank, network.segments))
    assert again.bank.fingerprint() == network.bank.fingerprint()


def test_layers_that_tasks_share_nothing_in_have_random_groups_from_zero(digits: ImageSet) -> None:
    stream = TaskStream("permuted")
    options = BankOptions("ranked", 16, learned=2, own_layers=("hidden1.weight",))
    made = new_network(options, digits.preprocessing(), lambda k: stream.task(digits, k), FIT)
    random = new_network(BankOptions(size=16), digits.preprocessing(), lambda _: digits, FIT)
    assert torch.equal(made.bank.codes[0], random.bank.codes[0])
    assert made.bank.origin is not None
    assert not made.bank.origin[0].any()
    scale = coefficient_scale(made)
    assert torch.equal(scale[0], torch.ones(16))
    torch.testing.assert_close(scale[1] * 4, made.bank.origin[1].square().mean().sqrt().expand(16))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (BankOptions("ranked", 16), "a ranked one of tasks to learn from: give --learned"),
        (BankOptions("ranked", 16, learned=2, own_layers=("head",)), "no layer 'head'"),
        (BankOptions("ranked", 16, learned=2, density=0.5), "density 1/16; give none"),
        (BankOptions("ranked", 40000, learned=2), "1 to 32768 groups, got 40000"),
        (BankOptions("random", 16, spread="root"), "a random bank has none"),
        (BankOptions(size=16, own_layers=("hidden1.weight",)), "are for a ranked bank"),
    ],
)
def test_a_ranked_bank_that_cannot_be_is_refused(
    digits: ImageSet, options: BankOptions, said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        new_network(options, digits.preprocessing(), lambda _: digits, FIT)


def test_a_start_at_the_origin_is_near_what_was_learned(digits: ImageSet) -> None:
    options = BankOptions("ranked", 16, learned=1, own_layers=("hidden1.weight",))
    made = new_network(options, digits.preprocessing(), lambda _: digits, FIT)
    randn, origin = (initial_coefficients(made, Start(kind), 0, ()) for kind in ("randn", "origin"))
    assert torch.equal(origin[0], randn[0])
    torch.testing.assert_close(origin[1:], 0.1 * randn[1:])
    random = new_network(BankOptions(size=16), digits.preprocessing(), lambda _: digits, FIT)
    with pytest.raises(OptionError, match="a partition bank has no origin to start at"):
        initial_coefficients(random, Start("origin"), 0, ())


def test_a_ranked_bank_has_no_impression_to_start_at(digits: ImageSet) -> None:
    options = BankOptions("ranked", 16, learned=1)
    made = new_network(options, digits.preprocessing(), lambda _: digits, FIT)
    for start in (Start("one-hot", 1), Start("uniform")):
        with pytest.raises(OptionError, match="no impressions"):
            initial_coefficients(made, start, 0, ())


def test_a_mixed_bank_has_learned_masks_then_random_ones_each_in_its_own_unit(
    digits: ImageSet,
) -> None:
    learned, random, mixed = (
        new_network(options, digits.preprocessing(), lambda _: digits, FIT)
        for options in (
            BankOptions("heterogeneous", 2),
            BankOptions("random", 5),
            BankOptions("mixed", 7, learned=2),
        )
    )
    for layer in range(3):
        parts = [learned.bank.mask(layer, k) for k in range(2)]
        parts += [random.bank.mask(layer, k) for k in range(5)]
        assert all(torch.equal(mixed.bank.mask(layer, k), part) for k, part in enumerate(parts))
    assert (mixed.manifest.bank.learned, mixed.manifest.bank.density) == (2, 0.05)
    scale = coefficient_scale(mixed)
    assert torch.allclose(scale[:, :2], torch.tensor((7 * 0.5) ** -0.5))
    assert torch.allclose(scale[:2, 2:], torch.tensor((7 * 0.05) ** -0.5), rtol=0.1)
    again = frozen_network(mixed.manifest, bank_file(mixed.bank, mixed.segments))
    assert again.bank.fingerprint() == mixed.bank.fingerprint()


def test_coefficients_are_in_a_unit_of_their_layer_where_the_layers_keep_other_shares(
    digits: ImageSet,
) -> None:
    options = BankOptions("heterogeneous", 2, er_scale=5)
    made = new_network(options, digits.preprocessing(), lambda _: digits, FIT)
    densities = layer_budget(made.layers, None, 5)
    assert len(set(densities.values())) == 3
    for scale, density in zip(coefficient_scale(made), densities.values(), strict=True):
        assert torch.allclose(scale, torch.tensor((2 * density) ** -0.5), rtol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BankOptions("partition", 16, density=0.5), "density 1/16"),
        (BankOptions("random", 16, density=1.5), r"in \(0, 1\]"),
        (BankOptions("partition", 40_000), "1 to 32768 groups"),
        (BankOptions("atoms", 100), "powers of two from 2 to 32768, got 100"),
        (BankOptions("atoms", 1), "powers of two from 2 to 32768, got 1"),
        (BankOptions("mixed", 8), "give --learned"),
        (BankOptions("random", 8, learned=2), "a mixed bank, and no other"),
        (BankOptions("mixed", 8, learned=8), "1 to 7 learned masks, got 8"),
        (BankOptions(backbone="vgg"), "unknown backbone 'vgg'"),
        (BankOptions("heterogeneous", 2, outputs=5), "10 classes need as many outputs"),
    ],
)
def test_contradicting_options_are_refused(
    digits: ImageSet, options: BankOptions, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        new_network(options, digits.preprocessing(), lambda _: digits, FIT)
