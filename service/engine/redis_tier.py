"""Composed weights in Redis, shared between processes. Whatever Redis does, the worst is a miss.

What comes back is believed only if it has the digest it was stored with and the network's shapes.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Mapping
from concurrent.futures import Executor
from time import perf_counter

import safetensors.torch
import torch
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from torch import Tensor

from model_store.task_artifact import TaskTensors
from model_store.tensor_bytes import read_tensors
from service.telemetry import Telemetry

_PROBE_SECONDS = 0.5
_MAX_CONNECTIONS = 16
_MAX_WRITES_UNDER_WAY = 8
_DIGEST_BYTES = 32

_log = logging.getLogger(__name__)


class RedisTier:
    """Lives on the event loop; encoding and decoding run on `executor`.

    While Redis is known to be down no request asks it: a probe finds out when it is back.
    """

    def __init__(
        self,
        url: str,
        timeout_ms: float,
        ttl_seconds: int,
        shapes: Mapping[str, tuple[int, ...]],
        device: torch.device,
        executor: Executor,
        telemetry: Telemetry,
    ) -> None:
        self._timeout_seconds = timeout_ms / 1000
        self._ttl_seconds = ttl_seconds
        self._shapes = shapes
        self._device = device
        self._executor = executor
        self._telemetry = telemetry
        self._redis = Redis.from_url(
            url,
            socket_timeout=self._timeout_seconds,
            socket_connect_timeout=self._timeout_seconds,
            max_connections=_MAX_CONNECTIONS,
            retry=Retry(NoBackoff(), 0),
        )
        self._up = False
        self._writes: set[asyncio.Task[None]] = set()
        self._probe: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether Redis answered last time."""
        return self._up

    async def start(self) -> None:
        """Ask Redis once, and from then on at intervals."""
        await self._ping()
        self._probe = asyncio.create_task(self._keep_probing())

    async def close(self) -> None:
        """Stop probing, let writes under way end, close the connections."""
        if self._probe is not None:
            self._probe.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probe
        if self._writes:
            await asyncio.wait(self._writes)
        await self._redis.aclose()

    async def get(self, artifact: TaskTensors) -> dict[str, Tensor] | None:
        """The composed weights, or None where Redis has none, is down, slow, or holds damage."""
        if not self._up:
            return None
        self._telemetry.cache_queries.labels("redis").inc()
        payload = await self._call("get", self._redis.get(_key(artifact)))
        if not isinstance(payload, bytes):
            return None
        loop = asyncio.get_running_loop()
        composed = await loop.run_in_executor(self._executor, self._decode, payload)
        if composed is None:
            self._telemetry.redis_errors.labels("get").inc()
            _log.warning("damaged bytes in Redis under %s", _key(artifact))
            return None
        self._telemetry.cache_hits.labels("redis").inc()
        return composed

    def put_soon(self, artifact: TaskTensors, composed: Mapping[str, Tensor]) -> None:
        """Write in the background; dropped where Redis is down or too many writes are under way."""
        if not self._up or len(self._writes) >= _MAX_WRITES_UNDER_WAY:
            return
        write = asyncio.create_task(self._put(artifact, composed))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def _put(self, artifact: TaskTensors, composed: Mapping[str, Tensor]) -> None:
        loop = asyncio.get_running_loop()
        payload = await loop.run_in_executor(self._executor, _encode, composed)
        await self._call("set", self._redis.set(_key(artifact), payload, ex=self._ttl_seconds))

    async def _keep_probing(self) -> None:
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            await self._ping()

    async def _ping(self) -> None:
        if not self._up:
            # Connections from before it went away would each fail once more.
            await self._redis.connection_pool.disconnect(inuse_connections=False)
        answer = await self._call("ping", self._redis.ping())
        self._set_up(answer is not None)

    async def _call(self, command: str, call: Awaitable[object]) -> object | None:
        started = perf_counter()
        # Never cancelled: a cancelled redis-py call can leave its answer to the connection's next
        # user. It ends by itself within its socket's timeouts.
        running = asyncio.ensure_future(call)
        running.add_done_callback(_retrieve)
        done, _ = await asyncio.wait({running}, timeout=self._timeout_seconds)
        self._telemetry.redis_seconds.labels(command).observe(perf_counter() - started)
        if done and running.exception() is None:
            return running.result()
        error = running.exception() if done else TimeoutError()
        if error is not None and not isinstance(error, RedisError | OSError | TimeoutError):
            raise error
        self._telemetry.redis_errors.labels(command).inc()
        self._set_up(False)
        return None

    def _set_up(self, up: bool) -> None:
        if up != self._up:
            _log.warning("Redis is %s", "up" if up else "down: composing without it")
        self._up = up
        self._telemetry.redis_up.set(up)

    def _decode(self, payload: bytes) -> dict[str, Tensor] | None:
        digest, body = payload[:_DIGEST_BYTES], payload[_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            return None
        try:
            composed = read_tensors(body)
        except ValueError:
            return None
        found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in composed.items()}
        if found != {name: (shape, torch.float32) for name, shape in self._shapes.items()}:
            return None
        return {name: composed[name].to(self._device) for name in self._shapes}


def _key(artifact: TaskTensors) -> str:
    # The artifact's hash covers the fingerprints of weights and bank too.
    return f"impress:composed:1:{artifact.content_hash}"


def _encode(composed: Mapping[str, Tensor]) -> bytes:
    body = safetensors.torch.save({name: weight.cpu() for name, weight in composed.items()})
    return hashlib.sha256(body).digest() + body


def _retrieve(call: asyncio.Future[object]) -> None:
    if not call.cancelled():
        call.exception()
