"""Replicas tell each other through a Redis stream that the store has changed, and nothing else.

What a message says is only counted. A stream that was lost, forged or replaced is begun again.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from redis.asyncio import Redis

from model_store.network import FrozenNetwork
from service.engine.tiers.redis_link import RedisLink, ended
from service.engine.tiers.redis_tier import scope_of
from service.watching.following_telemetry import FollowingTelemetry

_MOST_KEPT = 1024
_FORGET_SECONDS = 86_400
_BLOCK_MS = 1000
_AGAIN_SECONDS = 0.5
_MOST_ORIGINS = 1024
_LONGEST_ORIGIN = 64
_BEGINNING = b"0-0"

_Message = tuple[bytes, Mapping[bytes, bytes]]
"""A number and fields."""

# A key that is no stream, or whose last number leaves none for the next, is not worth keeping.
_TELL = """
local function tell()
  return redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
    'origin', ARGV[3], 'sequence', ARGV[4])
end
local told = tell()
if type(told) == 'table' and told.err then
  redis.call('UNLINK', KEYS[1])
  told = tell()
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return told
"""


class Nudges:
    """Lives on the event loop; no request waits for it, and without Redis it does nothing."""

    def __init__(
        self, link: RedisLink, network: FrozenNetwork, telemetry: FollowingTelemetry
    ) -> None:
        self._link = link
        self._telemetry = telemetry
        self._key = f"impress:changes:1:{scope_of(network)}"
        self._origin = secrets.token_hex(8).encode()
        self._sequence = 0
        self._heard_last: dict[bytes, int] = {}
        self._untold = False
        self._telling: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    def start(self, heard: Callable[[], None]) -> None:
        """Call `heard` whenever another replica may have changed the store, from now on."""
        self._listening = asyncio.create_task(self._listen(heard))

    async def close(self) -> None:
        """Stop listening, let what is being told be told."""
        await ended(self._listening)
        if self._telling is not None:
            await self._telling

    def tell(self) -> None:
        """Say that the store was changed here, once for many changes; to be called after them."""
        self._untold = self._link.up
        if self._untold and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        while self._untold:
            self._untold = False
            self._sequence += 1
            arguments = (_MOST_KEPT, _FORGET_SECONDS, self._origin, self._sequence)
            await self._link.ask_patiently("nudge", partial(self._add, arguments))

    async def _add(self, arguments: tuple[int | bytes, ...], redis: Redis) -> Any:
        return await redis.eval(_TELL, 1, self._key, *arguments)

    async def _listen(self, heard: Callable[[], None]) -> None:
        position: bytes | None = None
        while True:
            messages: list[_Message] | None = None
            last = await self._last() if self._link.up else None
            if last is not None:
                if last != position:
                    # The first time, or after messages that were not listened to, or were lost.
                    heard()
                position, messages = last, await self._next(last)
            while messages:
                position = messages[-1][0]
                if sum(self._take(fields) for _, fields in messages):
                    heard()
                messages = await self._next(position)
            if messages is None:
                position = None
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _last(self) -> bytes | None:
        """The last message's number; None where Redis does not say."""
        found = await self._link.ask_patiently(
            "listen", lambda redis: redis.xrevrange(self._key, count=1)
        )
        if found is None:
            return None
        return found[0][0] if found else _BEGINNING

    async def _next(self, position: bytes) -> list[_Message] | None:
        """Messages after that one, waited for a while; None where Redis does not say."""

        async def read(redis: Redis) -> Any:
            return await redis.xread({self._key: position}, _MOST_KEPT, _BLOCK_MS)

        found = await self._link.listen(read)
        if found is None:
            return None
        # Of one stream: a pair in Redis' older protocol, a dictionary of lists in its newer.
        parts = (
            found.get(self._key.encode(), [])
            if isinstance(found, dict)
            else [one[1] for one in found]
        )
        return [message for part in parts for message in part]

    def _take(self, fields: Mapping[bytes, bytes]) -> bool:
        """Whether another replica said this; counts what its numbers say was missed."""
        origin = fields.get(b"origin", b"")[:_LONGEST_ORIGIN]
        if origin == self._origin:
            return False
        self._telemetry.nudges_received.inc()
        said = fields.get(b"sequence", b"")[:20]
        sequence = int(said) if said.isdigit() else 0
        if sequence > self._heard_last.get(origin, sequence) + 1:
            self._telemetry.nudges_missed.inc()
        if len(self._heard_last) >= _MOST_ORIGINS:
            self._heard_last.clear()
        self._heard_last[origin] = max(sequence, self._heard_last.get(origin, 0))
        return True
