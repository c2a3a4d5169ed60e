"""Which tasks a fleet's replicas are asked for most, kept in Redis for a replica that is new.

Told now and then; no request waits for it, and without Redis it is empty.
"""

import asyncio
import random
from collections.abc import Iterable
from heapq import nlargest

from model_store.network import FrozenNetwork
from service.engine.tiers.popularity import Popularity
from service.engine.tiers.redis_link import RedisLink, ended
from service.engine.tiers.redis_tier import scope_of

_TELL_SECONDS = 10.0
_HALVE_SECONDS = 300
_MOST_TOLD = 256
_MOST_LISTED = 4096
_FORGET_SECONDS = 86_400

_TELL = """
if redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[1]) then
  redis.call('ZUNIONSTORE', KEYS[1], 1, KEYS[1], 'WEIGHTS', 0.5)
end
for at = 4, #ARGV, 2 do redis.call('ZINCRBY', KEYS[1], ARGV[at + 1], ARGV[at]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""


class HotList:
    """Scores are requests, halved every five minutes by whichever replica is first."""

    def __init__(self, link: RedisLink, network: FrozenNetwork, popularity: Popularity) -> None:
        self._link = link
        self._popularity = popularity
        scope = scope_of(network)
        self._keys = (f"impress:hot:1:{scope}", f"impress:halved:1:{scope}")
        self._telling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tell what this replica is asked for, from now on."""
        self._telling = asyncio.create_task(self._keep_telling())

    async def close(self) -> None:
        """Tell once more, and stop."""
        await ended(self._telling)
        await self.tell()

    async def hottest(self, most: int) -> list[str]:
        """Content hashes that the fleet is asked for most, the most asked for first."""
        if not self._link.up or most < 1:
            return []
        hot, _ = self._keys
        found = await self._link.ask("hot", lambda redis: redis.zrevrange(hot, 0, most - 1))
        return [member.decode() for member in found or ()]

    async def tell(self) -> None:
        """Add what was asked for since the last time; dropped where Redis is down."""
        fresh = self._popularity.fresh()
        if fresh and self._link.up:
            told = nlargest(_MOST_TOLD, fresh.items(), key=_count)
            arguments = (_HALVE_SECONDS, _MOST_LISTED, _FORGET_SECONDS, *_flat(told))
            await self._link.ask_patiently(
                "hot", lambda redis: redis.eval(_TELL, 2, *self._keys, *arguments)
            )

    async def _keep_telling(self) -> None:
        while True:
            # Replicas started together need not all tell together.
            await asyncio.sleep(_TELL_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            await self.tell()


def _count(told: tuple[str, int]) -> int:
    return told[1]


def _flat(told: Iterable[tuple[str, int]]) -> list[str | int]:
    return [part for pair in told for part in pair]
