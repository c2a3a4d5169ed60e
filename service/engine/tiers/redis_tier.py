"""Composed weights of hot tasks in Redis, shared between processes, where fetching is worth it.

Whatever Redis does, the worst is a miss.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from redis.asyncio import Redis
from torch import Tensor

from model_store.network import FrozenNetwork
from service.engine.paths.path_cost import PathCost
from service.engine.tiers.fetch_worth import FetchWorth, Read
from service.engine.tiers.redis_link import RedisLink
from service.engine.tiers.weights_codec import Precision, WeightsCodec
from service.watching.telemetry import Telemetry

_MAX_WRITES_UNDER_WAY = 8

_log = logging.getLogger(__name__)

# All weights of a network take as many bytes, so a bound of bytes is one of their number. What has
# expired leaves the index first; what was used longest ago makes room, before the newcomer comes.
# Answers with how many made room and how many are left.
_MAKE_ROOM = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - ARGV[2]))
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
local over = redis.call('ZCARD', KEYS[1]) - ARGV[3]
if over > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS[1], over)
  for at = 1, #oldest, 2 do redis.call('UNLINK', oldest[at]) end
end
return {math.max(over, 0), redis.call('ZCARD', KEYS[1])}
"""

_USED = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('ZADD', KEYS[2], 'XX', redis.call('TIME')[1], KEYS[1])
  redis.call('EXPIRE', KEYS[2], ARGV[1])
else
  redis.call('ZREM', KEYS[2], KEYS[1])
end
"""


@dataclass(frozen=True)
class TierOptions:
    """What the settings say of composed weights in Redis."""

    read: Read = "auto"
    precision: Precision = "fp32"
    ttl_seconds: int = 3600
    max_bytes: int = 1 << 30


class RedisTier:
    """Lives on the event loop; encoding and decoding run on `executor`."""

    def __init__(
        self,
        link: RedisLink,
        network: FrozenNetwork,
        options: TierOptions,
        compose_cost: PathCost,
        executor: Executor,
        telemetry: Telemetry,
    ) -> None:
        self._link = link
        self._options = options
        self._executor = executor
        self._telemetry = telemetry
        self._codec = WeightsCodec(network, options.precision)
        self._worth = FetchWorth(
            link, self._codec, self._fetch, options.read, compose_cost, executor
        )
        scope = f"{scope_of(network)}:{options.precision}"
        self._index = f"impress:index:2:{scope}"
        self._prefix = f"impress:composed:2:{scope}"
        self._writes: set[asyncio.Task[None]] = set()

    @property
    def in_use(self) -> bool:
        """Whether weights are read from Redis, and therefore written to it."""
        return self._link.up and self._worth.fetching_pays

    async def start(self) -> None:
        """Measure what a fetch takes."""
        await self._worth.start()

    async def close(self) -> None:
        """Stop measuring, let writes under way end."""
        await self._worth.close()
        if self._writes:
            await asyncio.wait(self._writes)

    def explained(self) -> dict[str, Any]:
        """What is gone by, for people."""
        return {**self._worth.explained(), "precision": self._options.precision}

    async def get(self, version: str) -> dict[str, Tensor] | None:
        """The composed weights of a content hash.

        None where Redis has none, is down, slow, or holds damage, or where composing is faster.
        """
        if not self.in_use:
            return None
        self._telemetry.cache_queries.labels("redis").inc()
        key = self._key(version)
        started = perf_counter()
        payload = await self._link.ask("get", lambda redis: self._fetch(redis, key))
        if not isinstance(payload, bytes):
            return None
        waited = perf_counter() - started
        loop = asyncio.get_running_loop()
        # Without the wait for the thread, which composing has as well.
        composed, decode_seconds = await loop.run_in_executor(
            self._executor, self._codec.timed_decode, payload
        )
        if composed is None:
            self._telemetry.redis.errors.labels("get").inc()
            _log.warning("damaged bytes in Redis under %s", key)
            return None
        self._worth.learn(waited + decode_seconds)
        self._telemetry.cache_hits.labels("redis").inc()
        return composed

    def put_soon(self, version: str, composed: Mapping[str, Tensor]) -> bool:
        """Write in the background; False where it is not: too many are under way, or no use."""
        if not self.in_use or len(self._writes) >= _MAX_WRITES_UNDER_WAY:
            return False
        write = asyncio.create_task(self._put(version, composed))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        return True

    async def _fetch(self, redis: Redis, key: str) -> object:
        seconds = self._options.ttl_seconds
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.getex(key, ex=seconds)
            pipeline.eval(_USED, 2, key, self._index, seconds)
            payload, _ = await pipeline.execute()
            return payload

    async def _put(self, version: str, composed: Mapping[str, Tensor]) -> None:
        loop = asyncio.get_running_loop()
        payload = await loop.run_in_executor(self._executor, self._codec.encode, composed)
        most = self._options.max_bytes // len(payload)
        if most:
            key, seconds = self._key(version), self._options.ttl_seconds

            async def write(redis: Redis) -> object:
                async with redis.pipeline(transaction=True) as pipeline:
                    pipeline.eval(_MAKE_ROOM, 1, self._index, key, seconds, most)
                    pipeline.set(key, payload, ex=seconds)
                    return await pipeline.execute()

            written = await self._link.ask_patiently("set", write)
            if written is not None:
                (evicted, kept), _ = written
                self._telemetry.redis.evictions.inc(evicted)
                self._telemetry.redis.kept_bytes.set(kept * len(payload))

    def _key(self, version: str) -> str:
        return f"{self._prefix}:{version}"


def scope_of(network: FrozenNetwork) -> str:
    """What keys of this network's tasks have in common, so that a cluster keeps them together."""
    manifest = network.manifest
    weights, bank = manifest.backbone.fingerprint, manifest.bank.fingerprint
    return f"{{{weights[:16]}-{bank[:16]}}}"
