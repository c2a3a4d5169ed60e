import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
import redis
import torch

from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from service.engine.composed_cache import ComposedCache
from service.engine.redis_tier import RedisTier
from service.telemetry import Telemetry
from tests.normalised_networks import normalised_artifact, normalised_network
from tests.real_parts import RedisServer
from tests.service.artifacts import MakeArtifact

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def tier_on(
    url: str, network: FrozenNetwork, telemetry: Telemetry
) -> AsyncIterator[RedisTier]:
    # A long time limit: what is tested is the answer, on a machine that may be busy.
    tier = RedisTier(
        url,
        2000,
        60,
        network.composed_shapes,
        torch.device("cpu"),
        ThreadPoolExecutor(1),
        telemetry,
    )
    await tier.start()
    try:
        yield tier
    finally:
        await tier.close()


async def until(condition: object) -> None:
    assert callable(condition)
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise TimeoutError("what was waited for did not come within ten seconds")


async def stored(
    tier: RedisTier, url: str, network: FrozenNetwork, artifact: TaskArtifact
) -> bytes | str:
    """Write one task's weights through the tier; the key they are under."""
    client = redis.Redis.from_url(url)
    before = set(client.keys("impress:composed:*"))
    tier.put_soon(artifact, network.composed(artifact))
    await until(lambda: set(client.keys("impress:composed:*")) - before)
    (key,) = set(client.keys("impress:composed:*")) - before
    client.close()
    return key


@pytest.fixture
def url(redis_url: str) -> str:
    with redis.Redis.from_url(redis_url) as client:
        for key in client.keys("impress:composed:*"):
            client.delete(key)
    return redis_url


async def test_weights_come_back_bit_identical(
    url: str, network: FrozenNetwork, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    async with tier_on(url, network, telemetry) as tier:
        assert await tier.get(make_artifact(1)) is None
        await stored(tier, url, network, make_artifact(1))
        fetched = await tier.get(make_artifact(1))
        assert fetched is not None
        expected = network.composed(make_artifact(1))
        assert all(torch.equal(fetched[name], expected[name]) for name in expected)
        assert await tier.get(make_artifact(2)) is None


async def test_second_process_finds_what_the_first_composed(
    url: str, network: FrozenNetwork, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    def never(_: object) -> dict[str, torch.Tensor]:
        raise AssertionError("composed, though Redis had it")

    async with tier_on(url, network, telemetry) as tier:
        await stored(tier, url, network, make_artifact(1))
    async with tier_on(url, network, telemetry) as tier:
        cache = ComposedCache(never, ThreadPoolExecutor(1), 1 << 30, tier, telemetry)
        assert len(await cache.get(make_artifact(1))) == 3


@pytest.mark.parametrize("position", [0, 31, 32, 100, -1])
async def test_damaged_bytes_are_a_miss(
    url: str,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
    position: int,
) -> None:
    async with tier_on(url, network, telemetry) as tier:
        key = await stored(tier, url, network, make_artifact(1))
        with redis.Redis.from_url(url) as client:
            payload = bytearray(client.get(key) or b"")
            payload[position] ^= 1
            client.set(key, bytes(payload))
        assert await tier.get(make_artifact(1)) is None


def signed(body: bytes) -> bytes:
    return hashlib.sha256(body).digest() + body


# With a right digest, but no tensors, too large a header, or a shape that overflows.
HUGE = b'{"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}}'


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"short",
        b"\x00" * 5000,
        signed(b""),
        signed(b"\xff" * 100),
        signed(len(HUGE).to_bytes(8, "little") + HUGE),
    ],
)
async def test_foreign_bytes_are_a_miss(
    url: str,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
    payload: bytes,
) -> None:
    async with tier_on(url, network, telemetry) as tier:
        key = await stored(tier, url, network, make_artifact(1))
        with redis.Redis.from_url(url) as client:
            client.set(key, payload)
        assert await tier.get(make_artifact(1)) is None


async def test_absent_redis_is_a_miss_and_is_found_when_it_comes(
    own_redis: RedisServer,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    own_redis.kill()
    async with tier_on(own_redis.url, network, telemetry) as tier:
        assert not tier.up
        assert await tier.get(make_artifact(1)) is None
        own_redis.start()
        await until(lambda: tier.up)
        await stored(tier, own_redis.url, network, make_artifact(1))
        assert await tier.get(make_artifact(1)) is not None


async def test_killed_redis_is_a_miss(
    own_redis: RedisServer,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    async with tier_on(own_redis.url, network, telemetry) as tier:
        await stored(tier, own_redis.url, network, make_artifact(1))
        own_redis.kill()
        assert await tier.get(make_artifact(1)) is None
        assert not tier.up


async def test_paused_redis_costs_one_time_limit_and_then_nothing(
    own_redis: RedisServer,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    tier = RedisTier(
        own_redis.url,
        100,
        60,
        network.composed_shapes,
        torch.device("cpu"),
        ThreadPoolExecutor(1),
        telemetry,
    )
    await tier.start()
    own_redis.send(signal.SIGSTOP)
    try:
        outcomes = await asyncio.gather(*(tier.get(make_artifact(1)) for _ in range(40)))
        assert outcomes == [None] * 40
        assert not tier.up
        started = perf_counter()
        for _ in range(100):
            assert await tier.get(make_artifact(1)) is None
        # A hundred time limits would be ten seconds.
        assert perf_counter() - started < 5
    finally:
        own_redis.send(signal.SIGCONT)
    await until(lambda: tier.up)
    await tier.close()


async def test_statistics_travel_with_the_weights(url: str, telemetry: Telemetry) -> None:
    network = normalised_network()
    artifact = normalised_artifact(network, 1)
    async with tier_on(url, network, telemetry) as tier:
        await stored(tier, url, network, artifact)
        fetched = await tier.get(artifact)
        assert fetched is not None
        expected = network.composed(artifact)
        assert list(fetched) == list(expected)
        assert all(torch.equal(fetched[name], expected[name]) for name in expected)


async def test_weights_without_their_statistics_are_a_miss(url: str, telemetry: Telemetry) -> None:
    network = normalised_network()
    artifact = normalised_artifact(network, 1)
    async with tier_on(url, network, telemetry) as tier:
        tier.put_soon(artifact, network.composed_weights(artifact))
        with redis.Redis.from_url(url) as client:
            await until(lambda: client.keys("impress:composed:*"))
        assert await tier.get(artifact) is None
