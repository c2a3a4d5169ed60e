"""Buckets that replicas have in common, in Redis. No request waits for it, or fails without it.

Each replica takes from its own bucket and tells Redis a moment later what it took; Redis answers
what is left after all of them. So the rate holds for all together, and a burst may be once for
each replica. While Redis is down each keeps the rate by itself.
"""

import asyncio
from functools import partial
from typing import Any

from redis.asyncio import Redis

from model_store.network import FrozenNetwork
from service.access.quotas import Quotas
from service.engine.tiers.redis_link import RedisLink, ended
from service.engine.tiers.redis_tier import scope_of

_TELL_SECONDS = 0.05

# By Redis' own clock: replicas' clocks differ. A bucket that is full again is forgotten.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local left = {}
for i, key in ipairs(KEYS) do
  local rate, most, taken = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local level, at = unpack(redis.call('HMGET', key, 'level', 'at'))
  if level then
    level = math.min(most, tonumber(level) + math.max(0, now - tonumber(at)) * rate)
  else
    level = most
  end
  level = level - taken
  redis.call('HSET', key, 'level', string.format('%.6f', level), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil((most - level) / rate * 1000) + 1000)
  left[i] = string.format('%.6f', level)
end
return left
"""


class SharedQuotas:
    """Lives on the event loop."""

    def __init__(self, link: RedisLink, network: FrozenNetwork, quotas: Quotas) -> None:
        self._link = link
        self._quotas = quotas
        self._prefix = f"impress:quota:1:{scope_of(network)}"
        self._telling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tell at intervals what was taken, from now on."""
        self._telling = asyncio.create_task(self._keep_telling())

    async def close(self) -> None:
        """Tell once more, and stop."""
        await ended(self._telling)
        await self.tell()

    async def tell(self) -> None:
        """Tell what was taken since the last time, and take over what others left."""
        touched = {name: one for name, one in self._quotas.buckets().items() if one.taken}
        if not touched or not self._link.up:
            return
        arguments: list[float] = []
        for bucket in touched.values():
            arguments += (bucket.rate, bucket.most, bucket.taken)
            bucket.taken = 0.0
        keys = [f"{self._prefix}:{name}" for name in touched]
        left = await self._link.ask_patiently("quota", partial(_taken, keys, arguments))
        for bucket, level in zip(touched.values(), left or (), strict=False):
            bucket.fill()
            # What was taken while Redis was asked it has not heard of yet.
            bucket.level = min(bucket.most, float(level)) - bucket.taken

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            await self.tell()


async def _taken(keys: list[str], arguments: list[float], redis: Redis) -> Any:
    return await redis.eval(_TAKE, len(keys), *keys, *arguments)
