"""Composed weights, made on demand and kept within a bound of bytes; then Redis, then composition.

Keyed by content hash, so a replaced task never answers from an older version. Readers hold the
weights themselves, so eviction takes nothing from under them.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from time import perf_counter

from torch import Tensor

from model_store.task_artifact import TaskTensors
from service.engine.redis_tier import RedisTier
from service.telemetry import Telemetry

ComposedWeights = Mapping[str, Tensor]
Compose = Callable[[TaskTensors], ComposedWeights]

_log = logging.getLogger(__name__)


class ComposedCache:
    """Lives on the event loop; composing runs on `executor`."""

    def __init__(
        self,
        compose: Compose,
        executor: Executor,
        capacity_bytes: int,
        redis_tier: RedisTier | None,
        telemetry: Telemetry,
    ) -> None:
        self._compose = compose
        self._executor = executor
        self._capacity_bytes = capacity_bytes
        self._redis_tier = redis_tier
        self._telemetry = telemetry
        self._queries = telemetry.cache_queries.labels("process")
        self._hits = telemetry.cache_hits.labels("process")
        self._kept: OrderedDict[str, ComposedWeights] = OrderedDict()
        self._kept_bytes = 0
        self._under_way: dict[str, asyncio.Task[ComposedWeights]] = {}

    def at_hand(self, key: str) -> ComposedWeights | None:
        """The composed weights of a content hash, where the process has them."""
        self._queries.inc()
        kept = self._kept.get(key)
        if kept is not None:
            self._hits.inc()
            self._kept.move_to_end(key)
        return kept

    async def get(self, artifact: TaskTensors) -> ComposedWeights:
        """The task's composed weights; one composition however many callers wait for it."""
        kept = self.at_hand(artifact.content_hash)
        if kept is not None:
            return kept
        # A caller that leaves must not take the composition from those who still wait.
        return await asyncio.shield(self.compose_soon(artifact))

    def compose_soon(self, artifact: TaskTensors) -> asyncio.Task[ComposedWeights]:
        """Compose a task's weights, or fetch them, and keep them, while others go on."""
        key = artifact.content_hash
        making = self._under_way.get(key)
        if making is None:
            making = asyncio.create_task(self._make(artifact))
            self._under_way[key] = making
            making.add_done_callback(partial(self._made, key))
        return making

    def keep(self, key: str, composed: ComposedWeights) -> None:
        """Keep what others composed, the least lately used making room."""
        if key in self._kept:
            return
        size = _byte_size(composed)
        if size > self._capacity_bytes:
            return
        while self._kept_bytes + size > self._capacity_bytes:
            _, evicted = self._kept.popitem(last=False)
            self._kept_bytes -= _byte_size(evicted)
            self._telemetry.cache_evictions.inc()
        self._kept[key] = composed
        self._kept_bytes += size
        self._telemetry.cache_bytes.set(self._kept_bytes)

    def _made(self, key: str, making: asyncio.Task[ComposedWeights]) -> None:
        del self._under_way[key]
        # Nobody may be waiting for it, and whoever is hears of it anyway.
        if not making.cancelled() and (error := making.exception()) is not None:
            _log.error("task version %s cannot be composed", key, exc_info=error)

    async def _make(self, artifact: TaskTensors) -> ComposedWeights:
        composed = await self._fetch_or_compose(artifact)
        self.keep(artifact.content_hash, composed)
        return composed

    async def _fetch_or_compose(self, artifact: TaskTensors) -> ComposedWeights:
        if self._redis_tier is not None:
            fetched = await self._redis_tier.get(artifact)
            if fetched is not None:
                return fetched
        loop = asyncio.get_running_loop()
        composed = await loop.run_in_executor(self._executor, self._timed_compose, artifact)
        if self._redis_tier is not None:
            self._redis_tier.put_soon(artifact, composed)
        return composed

    def _timed_compose(self, artifact: TaskTensors) -> ComposedWeights:
        started = perf_counter()
        composed = self._compose(artifact)
        self._telemetry.compose_seconds.observe(perf_counter() - started)
        return composed


def _byte_size(composed: ComposedWeights) -> int:
    return sum(weight.numel() * weight.element_size() for weight in composed.values())
