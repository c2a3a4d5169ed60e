"""What a rule keeps, and where scores start."""

import pytest
import torch

from masked_network.supermask import initial_scores
from model_store.network import FrozenNetwork
from training.dedicated_masks import MaskRecipe
from training.errors import OptionError
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.mask_rules import MaskRule, starting_scores

RULES = [MaskRule("top-k", 0.25), MaskRule("threshold")]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_learnable_mask_is_the_mask(rule: MaskRule) -> None:
    scores = torch.randn(9, 7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        rule.learnable_mask(scores, rule.density).bool(), rule.mask(scores, rule.density)
    )


def test_without_earlier_masks_scores_are_edge_popups_own(network: FrozenNetwork) -> None:
    own = initial_scores(network.layers, torch.Generator().manual_seed(3))
    scores = starting_scores(network.layers, MaskRule(), 3, ())
    assert all(torch.equal(scores[name], score) for name, score in own.items())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_transferred_scores_begin_with_what_all_earlier_tasks_keep(
    network: FrozenNetwork, rule: MaskRule
) -> None:
    generator = torch.Generator().manual_seed(1)
    kept = {
        layer.name: torch.rand(layer.shape, generator=generator) < 0.25 for layer in network.layers
    }
    scores = starting_scores(network.layers, rule, 0, [kept, kept])
    for layer in network.layers:
        agreement = (rule.mask(scores[layer.name], rule.density) == kept[layer.name]).float().mean()
        assert float(agreement) > 0.9
        assert float(scores[layer.name].abs().max()) <= layer.fan_in**-0.5


def test_a_transferred_mask_counts_the_masks_it_started_from(
    network: FrozenNetwork, digits: ImageSet
) -> None:
    fit = FitOptions(1, 3e-3)
    earlier = [MaskRecipe(FitOptions(8, 3e-3, 64)).learn(network, digits, {})]
    learned = MaskRecipe(fit, start="transfer").learn(network, digits, {}, earlier=earlier)
    assert learned.record.provenance["start_tasks"] == 1
    fresh = MaskRecipe(fit).learn(network, digits, {})
    assert MaskRecipe(fit).learn(network, digits, {}, earlier=earlier).content == fresh.content
    assert (learned.record.held_out_accuracy or 0) > (fresh.record.held_out_accuracy or 1)


def test_rules_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(OptionError, match="give no density"):
        MaskRule("threshold", 0.5)
    with pytest.raises(OptionError, match="give no density"):
        MaskRule("threshold", er_scale=8)
    with pytest.raises(OptionError, match="give one"):
        MaskRule("top-k", 0.5, 8)
    for density in (0.0, 1.5, float("nan")):
        with pytest.raises(OptionError, match="in \\(0, 1\\]"):
            MaskRule("top-k", density)
