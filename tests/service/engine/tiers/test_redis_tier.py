import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import perf_counter, time

import pytest
import redis
import torch

from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from service.engine.paths.path_cost import PathCost
from service.engine.tiers.composed_cache import ComposedCache
from service.engine.tiers.popularity import Popularity
from service.engine.tiers.redis_link import RedisLink
from service.engine.tiers.redis_tier import RedisTier, TierOptions
from service.engine.tiers.weights_codec import Precision, composition
from service.watching.telemetry import Telemetry
from tests.normalised_networks import normalised_artifact, normalised_network
from tests.real_parts import RedisServer
from tests.service.artifacts import MakeArtifact

pytestmark = pytest.mark.anyio

READ = TierOptions(read="always")


@asynccontextmanager
async def tier_on(
    url: str,
    network: FrozenNetwork,
    telemetry: Telemetry,
    options: TierOptions = READ,
    timeout_ms: float = 2000,
    compose_seconds: float = 1e-4,
) -> AsyncIterator[tuple[RedisTier, RedisLink]]:
    # A long time limit: what is tested is the answer, on a machine that may be busy.
    link = RedisLink(url, timeout_ms, telemetry)
    cost = PathCost(compose_seconds, 0.0)
    tier = RedisTier(link, network, options, cost, ThreadPoolExecutor(1), telemetry)
    await link.start()
    await tier.start()
    try:
        yield tier, link
    finally:
        await tier.close()
        await link.close()


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
    assert tier.put_soon(artifact.content_hash, network.composed(artifact))
    await until(lambda: set(client.keys("impress:composed:*")) - before)
    (key,) = set(client.keys("impress:composed:*")) - before
    client.close()
    return key


@pytest.fixture
def url(redis_url: str) -> str:
    with redis.Redis.from_url(redis_url) as client:
        for key in client.keys("impress:*"):
            client.delete(key)
    return redis_url


async def test_weights_come_back_bit_identical(
    url: str, network: FrozenNetwork, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    async with tier_on(url, network, telemetry) as (tier, _):
        assert await tier.get(make_artifact(1).content_hash) is None
        await stored(tier, url, network, make_artifact(1))
        fetched = await tier.get(make_artifact(1).content_hash)
        assert fetched is not None
        expected = network.composed(make_artifact(1))
        assert all(torch.equal(fetched[name], expected[name]) for name in expected)
        assert await tier.get(make_artifact(2).content_hash) is None


async def test_second_process_finds_what_the_first_composed(
    url: str, network: FrozenNetwork, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    def never(_: object) -> dict[str, torch.Tensor]:
        raise AssertionError("composed, though Redis had it")

    async with tier_on(url, network, telemetry) as (tier, _):
        await stored(tier, url, network, make_artifact(1))
    async with tier_on(url, network, telemetry) as (tier, _):
        cache = ComposedCache(
            never,
            ThreadPoolExecutor(1),
            1 << 30,
            Popularity(100),
            PathCost(1, 0),
            tier,
            telemetry,
        )
        assert len(await cache.get(make_artifact(1))) == 3


@pytest.mark.parametrize("position", [0, 31, 32, 100, -1])
async def test_damaged_bytes_are_a_miss(
    url: str,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
    position: int,
) -> None:
    async with tier_on(url, network, telemetry) as (tier, _):
        key = await stored(tier, url, network, make_artifact(1))
        with redis.Redis.from_url(url) as client:
            payload = bytearray(client.get(key) or b"")
            payload[position] ^= 1
            client.set(key, bytes(payload))
        assert await tier.get(make_artifact(1).content_hash) is None


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
    async with tier_on(url, network, telemetry) as (tier, _):
        key = await stored(tier, url, network, make_artifact(1))
        with redis.Redis.from_url(url) as client:
            client.set(key, payload)
        assert await tier.get(make_artifact(1).content_hash) is None


async def test_absent_redis_is_a_miss_and_is_found_when_it_comes(
    own_redis: RedisServer,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    own_redis.kill()
    async with tier_on(own_redis.url, network, telemetry) as (tier, link):
        assert not link.up
        assert await tier.get(make_artifact(1).content_hash) is None
        own_redis.start()
        await until(lambda: link.up)
        await stored(tier, own_redis.url, network, make_artifact(1))
        assert await tier.get(make_artifact(1).content_hash) is not None


async def test_killed_redis_is_a_miss(
    own_redis: RedisServer,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    async with tier_on(own_redis.url, network, telemetry) as (tier, link):
        await stored(tier, own_redis.url, network, make_artifact(1))
        own_redis.kill()
        assert await tier.get(make_artifact(1).content_hash) is None
        assert not link.up


async def test_paused_redis_costs_one_time_limit_and_then_nothing(
    own_redis: RedisServer,
    network: FrozenNetwork,
    telemetry: Telemetry,
    make_artifact: MakeArtifact,
) -> None:
    async with tier_on(own_redis.url, network, telemetry, timeout_ms=100) as (tier, link):
        own_redis.send(signal.SIGSTOP)
        try:
            outcomes = await asyncio.gather(
                *(tier.get(make_artifact(1).content_hash) for _ in range(40))
            )
            assert outcomes == [None] * 40
            assert not link.up
            started = perf_counter()
            for _ in range(100):
                assert await tier.get(make_artifact(1).content_hash) is None
            # A hundred time limits would be ten seconds.
            assert perf_counter() - started < 5
        finally:
            own_redis.send(signal.SIGCONT)
        await until(lambda: link.up)


async def test_statistics_travel_with_the_weights(url: str, telemetry: Telemetry) -> None:
    network = normalised_network()
    artifact = normalised_artifact(network, 1)
    async with tier_on(url, network, telemetry) as (tier, _):
        await stored(tier, url, network, artifact)
        fetched = await tier.get(artifact.content_hash)
        assert fetched is not None
        expected = network.composed(artifact)
        assert list(fetched) == list(expected)
        assert all(torch.equal(fetched[name], expected[name]) for name in expected)


async def test_weights_without_their_statistics_are_a_miss(url: str, telemetry: Telemetry) -> None:
    network = normalised_network()
    artifact = normalised_artifact(network, 1)
    async with tier_on(url, network, telemetry) as (tier, _):
        tier.put_soon(artifact.content_hash, network.composed_weights(artifact))
        with redis.Redis.from_url(url) as client:
            await until(lambda: client.keys("impress:composed:*"))
        assert await tier.get(artifact.content_hash) is None


async def test_fetching_is_worth_it_only_where_composing_takes_longer(
    url: str, network: FrozenNetwork, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    version, weights = make_artifact(1).content_hash, network.composed(make_artifact(1))
    auto = TierOptions(read="auto")
    async with tier_on(url, network, telemetry, auto, compose_seconds=1e-9) as (tier, _):
        assert tier.explained()["fetch_us"] > tier.explained()["compose_us"]
        assert not tier.put_soon(version, weights)
        with redis.Redis.from_url(url) as client:
            assert client.keys("impress:*") == []
    async with tier_on(url, network, telemetry, auto, compose_seconds=1e3) as (tier, _):
        await stored(tier, url, network, make_artifact(1))
        assert await tier.get(version) is not None
    async with tier_on(url, network, telemetry, auto, compose_seconds=1e-9) as (tier, _):
        assert await tier.get(version) is None
    never = TierOptions(read="never")
    async with tier_on(url, network, telemetry, never, compose_seconds=1e3) as (tier, _):
        assert await tier.get(version) is None
        assert not tier.put_soon(version, weights)


async def test_a_fetch_is_measured_when_redis_comes(
    own_redis: RedisServer, network: FrozenNetwork, telemetry: Telemetry
) -> None:
    own_redis.kill()
    async with tier_on(own_redis.url, network, telemetry, TierOptions(), compose_seconds=1e3) as (
        tier,
        _,
    ):
        assert not tier.in_use
        own_redis.start()
        await until(lambda: tier.in_use)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
async def test_rounded_weights_are_the_same_fetched_and_composed(
    url: str, telemetry: Telemetry, precision: Precision
) -> None:
    network = normalised_network()
    artifact = normalised_artifact(network, 1)
    options = TierOptions(read="always", precision=precision)
    async with tier_on(url, network, telemetry, options) as (tier, _):
        key = await stored(tier, url, network, artifact)
        fetched = await tier.get(artifact.content_hash)
        assert fetched is not None
        composed, exact = composition(network, precision)(artifact), network.composed(artifact)
        assert all(torch.equal(fetched[name], composed[name]) for name in exact)
        assert all(torch.allclose(fetched[name], exact[name], rtol=0.01) for name in exact)
        assert all(
            torch.equal(fetched[name], exact[name]) for name in network.task_statistics(artifact)
        )
    async with tier_on(url, network, telemetry) as (tier, _):
        # Whoever wants them exact never gets them rounded, not even under a key of his own.
        assert await tier.get(artifact.content_hash) is None
        with redis.Redis.from_url(url) as client:
            client.rename(key, str(key, "ascii").replace(precision, "fp32"))  # type: ignore[arg-type]
        assert await tier.get(artifact.content_hash) is None


async def test_weights_used_longest_ago_make_room(
    url: str, network: FrozenNetwork, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    two = int(2.5 * network.composed_bytes)
    options = TierOptions(read="always", max_bytes=two)
    async with tier_on(url, network, telemetry, options) as (tier, _):
        for seed in (1, 2):
            await stored(tier, url, network, make_artifact(seed))
        with redis.Redis.from_url(url) as client:
            (index,) = client.keys("impress:index:*")
            oldest = client.zrange(index, 0, -1)[0]
            for place, key in enumerate(client.zrange(index, 0, -1)):
                client.zadd(index, {key: int(time()) - 60 + place})
            first = str(oldest, "ascii").rpartition(":")[2]
            assert await tier.get(first) is not None
            await stored(tier, url, network, make_artifact(3))
            kept = {str(key, "ascii").rpartition(":")[2] for key in client.keys("impress:comp*")}
            assert client.zcard(index) == 2
        assert kept == {first, make_artifact(3).content_hash}
        sample = telemetry.registry.get_sample_value
        await until(lambda: sample("impress_redis_cache_evictions_total") == 1)
        kept_bytes = sample("impress_redis_cache_bytes")
        assert kept_bytes is not None
        assert 2 * network.composed_bytes < kept_bytes <= two


async def test_weights_larger_than_the_bound_are_not_written(
    url: str, network: FrozenNetwork, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    options = TierOptions(read="always", max_bytes=network.composed_bytes)
    async with tier_on(url, network, telemetry, options) as (tier, _):
        tier.put_soon(make_artifact(1).content_hash, network.composed(make_artifact(1)))
    with redis.Redis.from_url(url) as client:
        assert client.keys("impress:*") == []
