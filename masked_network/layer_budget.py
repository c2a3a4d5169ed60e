"""How many weights each layer keeps: the same share of all, or fewer where a layer is large."""

from collections.abc import Iterable, Mapping

from masked_network.backbones import MaskedLayer
from masked_network.supermask import check_density

_LARGEST_DENSITY = 0.5


def uniform_budget(layers: Iterable[MaskedLayer], density: float) -> dict[str, float]:
    """The same density for every layer. Raises `ValueError` on one outside (0, 1]."""
    check_density(density)
    return {layer.name: density for layer in layers}


def er_budget(layers: Iterable[MaskedLayer], scale: float) -> dict[str, float]:
    """Each layer's density: `min(0.5, S * (c_out + c_in) / (c_out * c_in * kh * kw))`.

    What SupSup (2006.14769) keeps for a task, known there as ER. `scale` is S, which is no
    percentage. Raises `ValueError` where it is not above 0.
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"the scale of an ER budget is above 0, got {scale}")
    return {
        layer.name: min(_LARGEST_DENSITY, scale * (layer.shape[0] + layer.shape[1]) / layer.size)
        for layer in layers
    }


def kept_share(layers: Iterable[MaskedLayer], budget: Mapping[str, float]) -> float:
    """The share of all weights that a budget keeps."""
    sizes = {layer.name: layer.size for layer in layers}
    return sum(budget[name] * size for name, size in sizes.items()) / sum(sizes.values())
