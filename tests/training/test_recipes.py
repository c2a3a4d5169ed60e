"""Learning one task: coefficients over the bank, or a dedicated supermask."""

from dataclasses import replace

import pytest
import torch

from model_store.compatibility import check_artifact
from model_store.errors import InvalidArtifact
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact, parse_artifact
from training.artifacts import Recipe, artifact_accuracy
from training.bank_options import BankOptions
from training.coefficients import CoefficientRecipe, norm_penalty
from training.dedicated_masks import MaskRecipe
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.mask_rules import MaskRule
from training.new_networks import new_network
from training.provenance import restored
from training.task_streams import TaskStream

FIT = FitOptions(4, 0.2, 64)
RECIPES = [
    pytest.param(CoefficientRecipe(FIT), id="fp16"),
    pytest.param(CoefficientRecipe(FIT, "int8"), id="int8"),
    pytest.param(CoefficientRecipe(FIT, "int4"), id="int4"),
    pytest.param(CoefficientRecipe(FIT, "int2"), id="int2"),
    pytest.param(CoefficientRecipe(replace(FIT, exposure=0.5)), id="exposure"),
    pytest.param(CoefficientRecipe(FIT, penalty=1e-4), id="penalty"),
    pytest.param(CoefficientRecipe(FIT, mask_learning_rate=3e-3), id="hybrid"),
    pytest.param(CoefficientRecipe(FIT, "int4", mask_learning_rate=1e-2), id="int4 hybrid"),
    pytest.param(MaskRecipe(FitOptions(4, 3e-3, 64)), id="supermask"),
    pytest.param(MaskRecipe(FitOptions(4, 3e-3, 64), MaskRule("threshold")), id="threshold"),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recorded_accuracy_is_that_of_the_stored_bytes(
    network: FrozenNetwork, digits: ImageSet, recipe: Recipe
) -> None:
    task = TaskStream("permuted").task(digits, 1)
    artifact = recipe.learn(network, task, {"data": "digits"})
    stored = parse_artifact(artifact.content)
    check_artifact(network, stored)
    held_out = task.held_out.examples(network.manifest.preprocessing)
    assert stored.record.held_out_accuracy == artifact_accuracy(network, stored, held_out)
    assert stored.record.held_out_accuracy > 0.7
    assert stored.record.classes == digits.classes
    said = restored(stored)
    assert said == said | {"data": "digits", **recipe.provenance()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_learning_again_gives_the_same_bytes_and_leaves_the_network_as_it_was(
    network: FrozenNetwork, digits: ImageSet, recipe: Recipe
) -> None:
    before = {name: weight.clone() for name, weight in network.weights.items()}
    codes = network.bank.fingerprint()
    first, second = (recipe.learn(network, digits, {}).content for _ in range(2))
    assert first == second
    assert all(torch.equal(before[name], weight) for name, weight in network.weights.items())
    assert network.bank.fingerprint() == codes


@pytest.mark.parametrize("options", [BankOptions("random", 40), BankOptions("partition", 40)])
def test_multipliers_start_at_unit_variance_over_every_bank(
    digits: ImageSet, options: BankOptions
) -> None:
    made = new_network(options, digits.preprocessing(), lambda _: digits, FIT)
    standing = CoefficientRecipe(FitOptions(1, 1e-12))
    composed = made.composed(standing.learn(made, digits, {}))
    variance = (composed["hidden1.weight"] / made.weights["hidden1.weight"]).var()
    assert 0.4 < float(variance) < 2.5


def test_a_task_of_fewer_classes_uses_the_first_outputs(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    task = TaskStream("split").task(digits, 2)
    artifact = CoefficientRecipe(FIT).learn(network, task, {})
    assert artifact.record.classes == ("4", "5")
    assert (artifact.record.held_out_accuracy or 0) > 0.9


def test_learning_that_diverges_is_refused_in_words(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    with pytest.raises(InvalidArtifact, match="coefficients must"):
        CoefficientRecipe(FitOptions(1, 1e30)).learn(network, digits, {})


def test_a_mask_keeps_its_density_and_names_no_bank(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    artifact = MaskRecipe(FitOptions(1, 3e-3), MaskRule("top-k", 0.25)).learn(network, digits, {})
    kept = network.supermask(artifact)["hidden1.weight"].float().mean()
    assert float(kept) == pytest.approx(0.25, abs=1e-3)
    assert artifact.record.made_for.bank is None


def test_a_hybrid_learns_its_mask_along_with_its_coefficients(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    def learned(rate: float, mask_rate: float) -> TaskArtifact:
        recipe = CoefficientRecipe(FitOptions(1, rate), mask_learning_rate=mask_rate)
        return recipe.learn(network, digits, {})

    standing, by_mask, by_both = learned(1e-12, 1e-12), learned(1e-12, 0.01), learned(0.2, 0.01)
    reached = [artifact.record.held_out_accuracy or 0 for artifact in (standing, by_mask, by_both)]
    assert reached == sorted(reached)
    for artifact in (standing, by_mask, by_both):
        (kept,) = network.supermask(artifact).values()
        assert int(kept.sum()) == 500
    moved = network.coefficients(by_mask) - network.coefficients(standing)
    assert float(moved.abs().max()) < 1e-6


def test_the_penalty_is_zero_where_each_layers_sizes_sum_to_one() -> None:
    assert float(norm_penalty(torch.tensor([[0.25, -0.75], [1.0, 0.0]]))) == 0
    assert float(norm_penalty(torch.tensor([[1.0, -2.0], [0.0, 0.0]]))) == 4 + 1


def test_a_penalty_draws_coefficients_to_a_unit_sum(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    def distance(penalty: float) -> float:
        recipe = CoefficientRecipe(FIT, penalty=penalty)
        return float(norm_penalty(network.coefficients(recipe.learn(network, digits, {}))))

    assert distance(0.005) < distance(0.0) / 4


def test_a_mask_learning_rate_of_no_size_is_refused() -> None:
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="above 0"):
            CoefficientRecipe(FIT, mask_learning_rate=rate)


def test_a_penalty_of_no_size_is_refused() -> None:
    for penalty in (-1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="0 or more"):
            CoefficientRecipe(FIT, penalty=penalty)
