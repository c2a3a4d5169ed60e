"""What share of each layer a learned mask keeps: one density for all, or an ER budget."""

import math
from collections.abc import Sequence

from masked_network.backbones import MaskedLayer
from masked_network.layer_budget import er_budget, uniform_budget
from training.errors import OptionError

DEFAULT_LEARNED_DENSITY = 0.5


def check_budget(density: float | None, er_scale: float | None) -> None:
    """Raise `OptionError` on a density or a scale out of bounds, or on both."""
    if density is not None and not 0 < density <= 1:
        raise OptionError(f"density is the share kept, in (0, 1], got {density}")
    if er_scale is not None and not 0 < er_scale < math.inf:
        raise OptionError(f"the scale of an ER budget is above 0, got {er_scale}")
    if density is not None and er_scale is not None:
        raise OptionError("a density is for every layer, --er-scale for each its own; give one")


def layer_budget(
    layers: Sequence[MaskedLayer], density: float | None, er_scale: float | None
) -> dict[str, float]:
    """Each layer's density by its name: half where neither is given. Raises `OptionError`."""
    check_budget(density, er_scale)
    if er_scale is not None:
        return er_budget(layers, er_scale)
    return uniform_budget(layers, DEFAULT_LEARNED_DENSITY if density is None else density)
