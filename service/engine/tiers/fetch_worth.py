"""Whether fetching composed weights is faster here than composing them, by measuring both."""

import asyncio
import statistics
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from time import perf_counter
from typing import Any, Literal

from redis.asyncio import Redis

from service.engine.paths.path_cost import PathCost
from service.engine.tiers.redis_link import RedisLink, ended
from service.engine.tiers.weights_codec import WeightsCodec

Read = Literal["auto", "always", "never"]
Fetch = Callable[[Redis, str], Awaitable[object]]
"""What is under a key, as a request's fetch asks for it."""

_MEASURED_TIMES = 9
_MEASURE_AGAIN_SECONDS = 300.0
_LOOK_SECONDS = 0.5


class FetchWorth:
    """Lives on the event loop. What a fetch takes is measured before the first, and then learned.

    And measured again now and then: what was too slow once would never be tried again.
    """

    def __init__(
        self,
        link: RedisLink,
        codec: WeightsCodec,
        fetch: Fetch,
        read: Read,
        compose_cost: PathCost,
        executor: Executor,
    ) -> None:
        self._link = link
        self._codec = codec
        self._fetch = fetch
        self._read = read
        self._compose_cost = compose_cost
        self._fetch_cost: PathCost | None = None
        self._executor = executor
        self._measuring: asyncio.Task[None] | None = None

    @property
    def fetching_pays(self) -> bool:
        """Whether to fetch: as it was told, or by what was measured, within the time limit."""
        if self._read != "auto":
            return self._read == "always"
        if self._fetch_cost is None:
            return False
        bearable = min(self._compose_cost.seconds(1), self._link.timeout_seconds)
        return self._fetch_cost.seconds(1) < bearable

    async def start(self) -> None:
        """Measure a fetch, and from then on at intervals."""
        if self._read != "never":
            await self._measure()
            self._measuring = asyncio.create_task(self._keep_measuring())

    async def close(self) -> None:
        """Stop measuring."""
        await ended(self._measuring)

    def learn(self, seconds: float) -> None:
        """A fetch took so long, decoding included."""
        if self._fetch_cost is not None:
            self._fetch_cost.learn(1, seconds)

    def explained(self) -> dict[str, Any]:
        """What is gone by, in microseconds, for people."""
        fetch = self._fetch_cost
        return {
            "read": self._read,
            "fetching_pays": self.fetching_pays,
            "fetch_us": None if fetch is None else round(1e6 * fetch.seconds(1), 1),
            "compose_us": round(1e6 * self._compose_cost.seconds(1), 1),
        }

    async def _keep_measuring(self) -> None:
        measured = perf_counter()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._fetch_cost is None or perf_counter() - measured > _MEASURE_AGAIN_SECONDS:
                await self._measure()
                measured = perf_counter()

    async def _measure(self) -> None:
        if not self._link.up:
            return
        loop = asyncio.get_running_loop()
        payload = await loop.run_in_executor(self._executor, self._codec.made_up)
        key = f"impress:made-up:{uuid.uuid4()}"
        await self._link.ask_patiently("set", lambda redis: redis.set(key, payload, ex=60))
        seconds = []
        for _ in range(_MEASURED_TIMES):
            started = perf_counter()
            found = await self._link.ask_patiently("get", lambda redis: self._fetch(redis, key))
            waited = perf_counter() - started
            if isinstance(found, bytes):
                decoding = loop.run_in_executor(self._executor, self._codec.timed_decode, found)
                seconds.append(waited + (await decoding)[1])
        await self._link.ask_patiently("set", lambda redis: redis.unlink(key))
        if seconds:
            self._fetch_cost = PathCost(statistics.median(seconds), 0.0)
