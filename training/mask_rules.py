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
from training.errors import OptionError

RuleName = Literal["top-k", "threshold"]
ScoreStart = Literal["fresh", "transfer"]


@dataclass(frozen=True)
class MaskRule:
    """From scores to a mask: top-k keeps the `density` share, threshold each score >= 0."""

    name: RuleName = "top-k"
    density: float | None = 0.5

    def __post_init__(self) -> None:
        if self.name == "threshold" and self.density is not None:
            raise OptionError("a threshold keeps what scores at least zero: give no density")
        if self.name == "top-k" and not (self.density and 0 < self.density <= 1):
            raise OptionError(f"density is the share kept, in (0, 1], got {self.density}")

    def provenance(self) -> dict[str, str | int | float]:
        """The rule, for an artifact's record."""
        described: dict[str, str | int | float] = {"rule": self.name}
        if self.density is not None:
            described["density"] = self.density
        return described

    def mask(self, scores: Tensor) -> Tensor:
        """The mask, bool in the scores' shape."""
        if self.density is None:
            return threshold_mask(scores)
        return binary_mask(scores, self.density)

    def learnable_mask(self, scores: Tensor) -> Tensor:
        """The mask as floats, with a gradient to the scores."""
        if self.density is None:
            return straight_through_threshold(scores)
        return straight_through_mask(scores, self.density)


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
        if rule.density is None:
            scores[layer.name] = (fresh + bound * (2 * share - 1)) / 2
        else:
            scores[layer.name] = torch.copysign((fresh.abs() + bound * share) / 2, fresh)
    return scores
