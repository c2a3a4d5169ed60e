"""Composed weights, made on demand and kept where they are worth it; then Redis, then composition.

Keyed by content hash, so a replaced task never answers from an older version.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from time import perf_counter

from model_store.task_artifact import TaskTensors
from service.engine.paths.path_cost import PathCost
from service.engine.tiers.kept_weights import ComposedWeights, KeptWeights
from service.engine.tiers.popularity import Popularity
from service.engine.tiers.redis_tier import RedisTier
from service.watching.telemetry import Telemetry

Compose = Callable[[TaskTensors], ComposedWeights]

_HOT_REQUESTS = 2
"""Asked for as often lately, a task's weights are worth other processes' while."""

_log = logging.getLogger(__name__)


class ComposedCache:
    """Lives on the event loop; composing runs on `executor`."""

    def __init__(
        self,
        compose: Compose,
        executor: Executor,
        capacity_bytes: int,
        popularity: Popularity,
        compose_cost: PathCost,
        redis_tier: RedisTier | None,
        telemetry: Telemetry,
    ) -> None:
        self._compose = compose
        self._compose_cost = compose_cost
        self._popularity = popularity
        self._executor = executor
        self._redis_tier = redis_tier
        self._telemetry = telemetry
        self._queries = telemetry.cache_queries.labels("process")
        self._hits = telemetry.cache_hits.labels("process")
        self._kept = KeptWeights(capacity_bytes, popularity, telemetry)
        self._unshared: set[str] = set()
        """What is kept and was not given to Redis; nothing where there is no Redis."""
        self._under_way: dict[str, asyncio.Task[ComposedWeights]] = {}

    def at_hand(self, key: str) -> ComposedWeights | None:
        """The composed weights of a content hash that is asked for, where the process has them."""
        self._queries.inc()
        self._popularity.count(key)
        kept = self._kept.use(key)
        if kept is not None:
            self._hits.inc()
            if key in self._unshared and self._popularity.of(key) >= _HOT_REQUESTS:
                self._share(key, kept)
        return kept

    def has(self, key: str) -> bool:
        """Whether the process has the composed weights of a content hash; it is not asked for."""
        return key in self._kept

    async def get(self, artifact: TaskTensors) -> ComposedWeights:
        """The task's composed weights; one composition however many callers wait for it."""
        kept = self.at_hand(artifact.content_hash)
        if kept is not None:
            return kept
        # A caller that leaves must not take the composition from those who still wait.
        return await asyncio.shield(self._make_soon(artifact))

    def compose_soon(self, artifact: TaskTensors) -> None:
        """Compose or fetch a task that pays, and keep it, while others go on; if it is kept."""
        if self._kept.would_keep(artifact.content_hash):
            self._make_soon(artifact, hot=True)

    def pin(self, artifact: TaskTensors) -> "asyncio.Future[ComposedWeights] | None":
        """Keep a task's weights whatever is asked for, until `unpin`; what makes them, if not here.

        All that is pinned must fit the bound.
        """
        self._kept.pin(artifact.content_hash)
        return None if artifact.content_hash in self._kept else self._make_soon(artifact, hot=True)

    def unpin(self, key: str) -> None:
        """Free what was pinned."""
        self._kept.unpin(key)
        self._unshared.discard(key)

    async def warm(self, artifacts: Iterable[TaskTensors], seconds: float) -> int:
        """Keep tasks before they are asked for, the hottest first, while there is room and time.

        How many are kept then.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        warmed: list[str] = []
        for artifact in artifacts:
            if artifact.content_hash not in self._kept:
                making = self._make_soon(artifact, hot=True)
                await asyncio.wait({making}, timeout=max(0.0, ends - loop.time()))
                if not making.done():
                    break
            if artifact.content_hash in self._kept:
                warmed.append(artifact.content_hash)
                self._popularity.count(artifact.content_hash)
        for key in reversed(warmed):
            self._kept.use(key)
        return len(warmed)

    def _make_soon(self, artifact: TaskTensors, hot: bool = False) -> asyncio.Task[ComposedWeights]:
        key = artifact.content_hash
        making = self._under_way.get(key)
        if making is None:
            making = asyncio.create_task(self._make(artifact, hot))
            self._under_way[key] = making
            making.add_done_callback(partial(self._made, key))
        return making

    def keep(self, key: str, composed: ComposedWeights) -> None:
        """Keep what was composed, unless what would make room is asked for as often."""
        if key in self._kept:
            return
        self._unshared.difference_update(self._kept.keep(key, composed))
        if self._redis_tier is not None and key in self._kept:
            self._unshared.add(key)

    def drop(self, key: str) -> None:
        """Free what no task is served by any more; whoever computes with it holds it himself."""
        self._kept.drop(key)
        if key not in self._kept:
            self._unshared.discard(key)

    def _share(self, key: str, composed: ComposedWeights) -> None:
        if self._redis_tier is not None and self._redis_tier.put_soon(key, composed):
            self._unshared.discard(key)

    def _made(self, key: str, making: asyncio.Task[ComposedWeights]) -> None:
        del self._under_way[key]
        # Nobody may be waiting for it, and whoever is hears of it anyway.
        if not making.cancelled() and (error := making.exception()) is not None:
            _log.error("task version %s cannot be composed", key, exc_info=error)

    async def _make(self, artifact: TaskTensors, hot: bool) -> ComposedWeights:
        key = artifact.content_hash
        if self._redis_tier is not None:
            fetched = await self._redis_tier.get(key)
            if fetched is not None:
                self.keep(key, fetched)
                self._unshared.discard(key)
                return fetched
        loop = asyncio.get_running_loop()
        composed = await loop.run_in_executor(self._executor, self._timed_compose, artifact)
        self.keep(key, composed)
        if hot or self._popularity.of(key) >= _HOT_REQUESTS:
            self._share(key, composed)
        return composed

    def _timed_compose(self, artifact: TaskTensors) -> ComposedWeights:
        started = perf_counter()
        composed = self._compose(artifact)
        seconds = perf_counter() - started
        self._compose_cost.learn(1, seconds)
        self._telemetry.compose_seconds.observe(seconds)
        return composed
