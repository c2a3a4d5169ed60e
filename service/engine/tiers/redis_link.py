"""The way to Redis: calls that end in time and never raise. Knows nothing of what is stored.

While Redis is known to be down nobody need ask it: a probe finds out when it is back.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.watching.telemetry import Telemetry

_PROBE_SECONDS = 0.5
_PATIENT_SECONDS = 5.0
_MAX_CONNECTIONS = 16

Call = Callable[[Redis], Awaitable[Any]]

_log = logging.getLogger(__name__)


class RedisLink:
    """Lives on the event loop."""

    def __init__(self, url: str, timeout_ms: float, telemetry: Telemetry) -> None:
        self.timeout_seconds = timeout_ms / 1000
        """Within which a request gets its answer, or a miss."""
        self._patient_seconds = max(self.timeout_seconds, _PATIENT_SECONDS)
        self._telemetry = telemetry.redis
        self._telemetry.configured.set(1)
        self._redis = _client(url, self.timeout_seconds)
        self._patient_redis = _client(url, self._patient_seconds)
        # Not yet known, so that the first answer is told of, whichever it is.
        self._up: bool | None = None
        self._probe: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether Redis answered last time."""
        return bool(self._up)

    async def start(self) -> None:
        """Ask Redis once, and from then on at intervals."""
        await self._ping()
        self._probe = asyncio.create_task(self._keep_probing())

    async def close(self) -> None:
        """Stop probing, close the connections."""
        await ended(self._probe)
        await self._redis.aclose()
        await self._patient_redis.aclose()

    async def ask(self, command: str, call: Call) -> Any | None:
        """What Redis answers to a request's call; None, and down, where it fails or is late."""
        answer, failed = await self._within(self.timeout_seconds, command, call(self._redis))
        if failed:
            self._set_up(False)
        return answer

    async def ask_patiently(self, command: str, call: Call) -> Any | None:
        """The same for what nobody waits for: it may take seconds, and says nothing of Redis."""
        given = call(self._patient_redis)
        answer, _ = await self._within(self._patient_seconds, command, given)
        return answer

    async def listen(self, call: Call) -> Any | None:
        """The same for a call that waits in Redis for others, so that its time says nothing."""
        given = call(self._patient_redis)
        answer, _ = await self._within(self._patient_seconds, "listen", given, timed=False)
        return answer

    async def _keep_probing(self) -> None:
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            await self._ping()

    async def _ping(self) -> None:
        if not self._up:
            # Connections from before it went away would each fail once more.
            for redis in (self._redis, self._patient_redis):
                await redis.connection_pool.disconnect(inuse_connections=False)
        if await self.ask("ping", lambda redis: redis.ping()) is not None:
            self._set_up(True)

    async def _within(
        self, seconds: float, command: str, call: Awaitable[Any], timed: bool = True
    ) -> tuple[Any | None, bool]:
        """The answer, and whether there is none because the call failed."""
        started = perf_counter()
        # Never cancelled: a cancelled redis-py call can leave its answer to the connection's next
        # user. It ends by itself within its socket's timeouts.
        running = asyncio.ensure_future(call)
        running.add_done_callback(_retrieve)
        done, _ = await asyncio.wait({running}, timeout=seconds)
        if timed:
            self._telemetry.seconds.labels(command).observe(perf_counter() - started)
        if done and running.exception() is None:
            return running.result(), False
        error = running.exception() if done else TimeoutError()
        if error is not None and not isinstance(error, RedisError | OSError | TimeoutError):
            raise error
        self._telemetry.errors.labels(command).inc()
        return None, True

    def _set_up(self, up: bool) -> None:
        if up != self._up:
            _log.warning("Redis is %s", "up" if up else "down: composing without it")
        self._up = up
        self._telemetry.up.set(up)


async def ended(running: asyncio.Task[None] | None) -> None:
    """Cancel a task that goes on for ever, and wait until it has ended."""
    if running is not None:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _client(url: str, timeout_seconds: float) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        max_connections=_MAX_CONNECTIONS,
        retry=Retry(NoBackoff(), 0),
    )


def _retrieve(call: asyncio.Future[object]) -> None:
    if not call.cancelled():
        call.exception()
