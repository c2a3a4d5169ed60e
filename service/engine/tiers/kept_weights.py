"""Composed weights within a bound of bytes: which are kept, and what makes room for what.

What is asked for no more often than what it would displace is not kept; what is pinned always is.
Readers hold the weights themselves, so eviction takes nothing from under them.
"""

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor

from service.engine.tiers.popularity import Popularity
from service.watching.telemetry import Telemetry

ComposedWeights = Mapping[str, Tensor]


class KeptWeights:
    """By content hash; the least lately used make room first."""

    def __init__(self, capacity_bytes: int, popularity: Popularity, telemetry: Telemetry) -> None:
        self._capacity_bytes = capacity_bytes
        self._popularity = popularity
        self._telemetry = telemetry
        self._kept: OrderedDict[str, ComposedWeights] = OrderedDict()
        self._kept_bytes = 0
        self._pinned: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def use(self, key: str) -> ComposedWeights | None:
        """The weights, which count as used now; None where they are not kept."""
        weights = self._kept.get(key)
        if weights is not None:
            self._kept.move_to_end(key)
        return weights

    def keep(self, key: str, weights: ComposedWeights) -> list[str]:
        """Keep what is not kept yet where it is worth it; what was evicted for that."""
        displaced = self._displaced_by(key, _byte_size(weights))
        if displaced is None:
            return []
        for evicted in displaced:
            self._kept_bytes -= _byte_size(self._kept.pop(evicted))
            self._telemetry.cache_evictions.inc()
        self._kept[key] = weights
        self._kept_bytes += _byte_size(weights)
        self._telemetry.cache_bytes.set(self._kept_bytes)
        return displaced

    def would_keep(self, key: str) -> bool:
        """Whether composing it now would be for good; not where it is kept already."""
        # Whatever a network's tasks are composed to is of one size.
        size = next((_byte_size(kept) for kept in self._kept.values()), 0)
        return key not in self._kept and self._displaced_by(key, size) is not None

    def drop(self, key: str) -> None:
        """Free it unless it is pinned."""
        if key not in self._pinned and (weights := self._kept.pop(key, None)) is not None:
            self._kept_bytes -= _byte_size(weights)
            self._telemetry.cache_bytes.set(self._kept_bytes)

    def pin(self, key: str) -> None:
        """Never evict it, now or once it is kept; all that is pinned must fit the bound."""
        self._pinned.add(key)

    def unpin(self, key: str) -> None:
        """Let it go, and free it."""
        self._pinned.discard(key)
        self.drop(key)

    def _displaced_by(self, key: str, size: int) -> list[str] | None:
        """What makes room, the least lately used first; None where it is worth as much."""
        if size > self._capacity_bytes:
            return None
        displaced: list[str] = []
        room = self._capacity_bytes - self._kept_bytes
        for kept, weights in self._kept.items():
            if room >= size:
                break
            if kept in self._pinned:
                continue
            if key not in self._pinned and self._popularity.of(kept) >= self._popularity.of(key):
                return None
            displaced.append(kept)
            room += _byte_size(weights)
        return displaced if room >= size else None


def _byte_size(weights: ComposedWeights) -> int:
    return sum(weight.numel() * weight.element_size() for weight in weights.values())
