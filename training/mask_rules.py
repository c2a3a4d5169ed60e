"""Which scores become a dedicated mask, and where they start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from masked_network.backbones import MaskedLayer
from masked_network.supermask import (
    binary_mask,
    initial_scores,
    straight_through_mask,
    straight_through_threshold,
    threshold_mask,
)
from training.budgets import DEFAULT_LEARNED_DENSITY, check_budget, layer_budget
from training.errors import OptionError

RuleName = Literal["top-k", "threshold"]
ScoreStart = Literal["fresh", "transfer"]


@dataclass(frozen=True)
class MaskRule:
    """From scores to a mask: top-k keeps a share of each layer, threshold each score >= 0.

    The share is the same for every layer, or by an ER budget; half where neither is given.
    """

    name: RuleName = "top-k"
    density: float | None = None
    er_scale: float | None = None

    def __post_init__(self) -> None:
        if self.name == "threshold" and (self.density, self.er_scale) != (None, None):
            raise OptionError("a threshold keeps what scores at least zero: give no density")
        check_budget(self.density, self.er_scale)

    def provenance(self) -> dict[str, str | int | float]:
        """The rule, for an artifact's record."""
        if self.name == "threshold":
            return {"rule": self.name}
        if self.er_scale is not None:
            return {"rule": self.name, "er_scale": self.er_scale}
        density = DEFAULT_LEARNED_DENSITY if self.density is None else self.density
        return {"rule": self.name, "density": density}

    def budget(self, layers: Sequence[MaskedLayer]) -> dict[str, float]:
        """The share that each layer keeps, by its name; of none by threshold."""
        if self.name == "threshold":
            return {}
        return layer_budget(layers, self.density, self.er_scale)

    def mask(self, scores: Tensor, density: float | None) -> Tensor:
        """The mask of a layer of that budget, bool in the scores' shape."""
        return threshold_mask(scores) if density is None else binary_mask(scores, density)

    def learnable_mask(self, scores: Tensor, density: float | None) -> Tensor:
        """The same mask as floats, with a gradient to the scores."""
        if density is None:
            return straight_through_threshold(scores)
        return straight_through_mask(scores, density)


TOP_HALF = MaskRule()


def starting_scores(
    layers: Sequence[MaskedLayer],
    rule: MaskRule,
    seed: int,
    earlier: Sequence[Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """Scores to start from, within the bounds of edge-popup's own; fresh without earlier masks.

    SupSup (2006.14769) starts at the mean of the earlier tasks' scores. A store keeps masks alone,
    so here, ours, it is halfway between fresh scores and the share of the earlier tasks that keep a
    weight: by top-k as the size of the score, by threshold as the score itself, from -1 to 1.
    """
    scores = initial_scores(layers, torch.Generator().manual_seed(seed))
    if not earlier:
        return scores
    for layer in layers:
        fresh = scores[layer.name]
        kept = torch.stack([masks[layer.name] for masks in earlier])  # [T, *shape]
        share = kept.to(torch.float32).mean(dim=0)
        bound = layer.fan_in**-0.5
        if rule.name == "threshold":
            scores[layer.name] = (fresh + bound * (2 * share - 1)) / 2
        else:
            scores[layer.name] = torch.copysign((fresh.abs() + bound * share) / 2, fresh)
    return scores
