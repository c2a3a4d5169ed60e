"""Replicas' nudges, on a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import redis
from prometheus_client import CollectorRegistry

from model_store.network import FrozenNetwork
from service.engine.registry.nudges import Nudges
from service.engine.tiers.redis_link import RedisLink
from service.watching.telemetry import Telemetry
from tests.real_parts import RedisServer

pytestmark = pytest.mark.anyio


class Replica:
    """One that listens, and counts what it hears."""

    def __init__(self, url: str, network: FrozenNetwork) -> None:
        self.metrics = CollectorRegistry()
        telemetry = Telemetry(self.metrics)
        self.link = RedisLink(url, 2000, telemetry)
        self.nudges = Nudges(self.link, network, telemetry.following)
        self.heard = 0

    def hear(self) -> None:
        self.heard += 1

    def count(self, name: str) -> float:
        return self.metrics.get_sample_value(f"impress_nudges_{name}_total") or 0

    async def hears_within(self, seconds: float = 10, more_than: int = 0) -> bool:
        return await until(lambda: self.heard > more_than, seconds)


async def until(holds: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110 others tell nobody
        await asyncio.sleep(0.005)
    return holds()


@asynccontextmanager
async def replicas(
    url: str, network: FrozenNetwork, count: int = 2
) -> AsyncIterator[list[Replica]]:
    """Replicas that have heard that they listen, and then nothing."""
    made = [Replica(url, network) for _ in range(count)]
    for one in made:
        await one.link.start()
        one.nudges.start(one.hear)
        if one.link.up:
            assert await one.hears_within()
        one.heard = 0
    try:
        yield made
    finally:
        for one in made:
            await one.nudges.close()
            await one.link.close()


def stream_of(client: "redis.Redis") -> str:
    (key,) = client.keys("impress:changes:*")
    assert isinstance(key, bytes)
    return key.decode()


@pytest.mark.parametrize("protocol", ["", "?protocol=2", "?protocol=3"])
async def test_every_other_replica_hears_and_the_teller_does_not(
    own_redis: RedisServer, network: FrozenNetwork, protocol: str
) -> None:
    async with replicas(own_redis.url + protocol, network, 3) as (teller, *others):
        for turn in range(3):
            teller.nudges.tell()
            for one in others:
                assert await one.hears_within(more_than=turn)
        assert teller.heard == 0
        assert [one.count("received") for one in others] == [3, 3]
        assert [one.count("missed") for one in others] == [0, 0]


async def test_one_who_begins_to_listen_is_nudged_once(
    own_redis: RedisServer, network: FrozenNetwork
) -> None:
    async with replicas(own_redis.url, network, 1) as (teller,):
        teller.nudges.tell()
        late = Replica(own_redis.url, network)
        await late.link.start()
        late.nudges.start(late.hear)
        assert await late.hears_within()
        await late.nudges.close()
        await late.link.close()


async def test_many_changes_at_once_are_told_once_or_twice(
    own_redis: RedisServer, network: FrozenNetwork
) -> None:
    async with replicas(own_redis.url, network) as (teller, other):
        for _ in range(1000):
            teller.nudges.tell()
        assert await other.hears_within()
        await asyncio.sleep(0.1)
        assert other.count("received") <= 2
        assert other.count("missed") == 0


async def test_stream_stays_short(own_redis: RedisServer, network: FrozenNetwork) -> None:
    async with replicas(own_redis.url, network) as (teller, other):
        teller.nudges.tell()
        assert await other.hears_within()
        with redis.Redis.from_url(own_redis.url) as client:
            key = stream_of(client)
            with client.pipeline() as pipeline:
                for sequence in range(3000):
                    pipeline.xadd(key, {"origin": "x", "sequence": sequence})
                pipeline.execute()
            heard = other.heard
            teller.nudges.tell()
            assert await other.hears_within(more_than=heard)
            assert await until(lambda: client.xlen(key) < 2000)
            assert client.ttl(key) > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": "x", "sequence": "9" * 5000},
        {"origin": "x" * 10_000, "sequence": "-1"},
        {"sequence": "\xff"},
        {"origin": ""},
        {"anything": "else"},
    ],
)
async def test_forged_message_is_a_nudge_and_no_more(
    own_redis: RedisServer, network: FrozenNetwork, fields: dict[str, str]
) -> None:
    async with replicas(own_redis.url, network) as (teller, other):
        teller.nudges.tell()
        assert await other.hears_within()
        with redis.Redis.from_url(own_redis.url) as client:
            client.xadd(stream_of(client), fields)
        assert await other.hears_within(more_than=1)
        teller.nudges.tell()
        assert await other.hears_within(more_than=2)


async def test_lost_messages_are_counted(own_redis: RedisServer, network: FrozenNetwork) -> None:
    async with replicas(own_redis.url, network) as (teller, other):
        with redis.Redis.from_url(own_redis.url) as client:
            teller.nudges.tell()
            assert await other.hears_within()
            for sequence in ("10", "12", "12", "11", "14"):
                client.xadd(stream_of(client), {"origin": "x", "sequence": sequence})
        assert await until(lambda: other.count("received") == 6)
        assert other.count("missed") == 2


async def test_key_that_is_no_stream_and_a_last_number_are_got_over(
    own_redis: RedisServer, network: FrozenNetwork
) -> None:
    async with replicas(own_redis.url, network) as (teller, other):
        with redis.Redis.from_url(own_redis.url) as client:
            teller.nudges.tell()
            assert await other.hears_within()
            key = stream_of(client)
            last = 2**64 - 1
            client.xadd(key, {"origin": "x"}, id=f"{last}-{last}")
            assert await other.hears_within(more_than=1)
            for spoil in (lambda: None, lambda: client.set(key, "x")):
                spoil()
                heard = other.heard
                teller.nudges.tell()
                assert await other.hears_within(more_than=heard)
            client.delete(key)
            heard = other.heard
            assert await other.hears_within(more_than=heard)


async def test_redis_that_comes_back_empty_is_listened_to_again(
    own_redis: RedisServer, network: FrozenNetwork
) -> None:
    async with replicas(own_redis.url, network) as (teller, other):
        own_redis.kill()
        teller.nudges.tell()
        assert await until(lambda: not (teller.link.up or other.link.up))
        teller.nudges.tell()
        own_redis.start()
        assert await until(lambda: teller.link.up and other.link.up)
        assert await other.hears_within()
        heard = other.heard
        teller.nudges.tell()
        assert await other.hears_within(more_than=heard)


async def test_without_redis_nobody_hears_and_nothing_fails(
    own_redis: RedisServer, network: FrozenNetwork
) -> None:
    own_redis.kill()
    async with replicas(own_redis.url, network) as (teller, other):
        teller.nudges.tell()
        await asyncio.sleep(0.1)
        assert other.heard == 0
