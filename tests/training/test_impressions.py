"""A store's frozen network: from seeds, or with learned impressions."""

import pytest
import torch

from masked_network.composition import compose
from masked_network.mask_bank import BankKind
from model_store.network import bank_file, frozen_network
from training.dedicated_masks import learn_supermask
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.impressions import BankOptions, new_network
from training.mask_rules import MaskRule
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
    again = frozen_network(made.manifest, bank_file(made))
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
    again = frozen_network(cut.manifest, bank_file(cut))
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BankOptions("partition", 16, density=0.5), "density 1/16"),
        (BankOptions("random", 16, density=1.5), r"in \(0, 1\]"),
        (BankOptions("partition", 40_000), "1 to 32768 groups"),
        (BankOptions(backbone="vgg"), "unknown backbone 'vgg'"),
        (BankOptions("heterogeneous", 2, outputs=5), "10 classes need as many outputs"),
    ],
)
def test_contradicting_options_are_refused(
    digits: ImageSet, options: BankOptions, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        new_network(options, digits.preprocessing(), lambda _: digits, FIT)
