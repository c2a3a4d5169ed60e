"""The fleet's hot list, on a real Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis

from model_store.network import FrozenNetwork
from service.engine.tiers.hot_list import HotList
from service.engine.tiers.popularity import Popularity
from service.engine.tiers.redis_link import RedisLink
from service.watching.telemetry import Telemetry
from tests.real_parts import RedisServer

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def hot_list_on(
    url: str, network: FrozenNetwork, telemetry: Telemetry, asked: dict[str, int]
) -> AsyncIterator[HotList]:
    """Of a replica that was asked so often for these."""
    link, popularity = RedisLink(url, 2000, telemetry), Popularity(1000)
    for key, times in asked.items():
        for _ in range(times):
            popularity.count(key)
    hot_list = HotList(link, network, popularity)
    await link.start()
    hot_list.start()
    try:
        yield hot_list
    finally:
        await hot_list.close()
        await link.close()


async def test_replicas_counts_add_up(
    own_redis: RedisServer, network: FrozenNetwork, telemetry: Telemetry
) -> None:
    async with hot_list_on(own_redis.url, network, telemetry, {"a": 3, "b": 2}):
        pass
    async with hot_list_on(own_redis.url, network, telemetry, {"b": 2, "c": 1}) as hot_list:
        await hot_list.tell()
        assert await hot_list.hottest(10) == ["b", "a", "c"]
        assert await hot_list.hottest(1) == ["b"]
        assert await hot_list.hottest(0) == []


async def test_what_was_asked_for_earlier_counts_half(
    own_redis: RedisServer, network: FrozenNetwork, telemetry: Telemetry
) -> None:
    async with hot_list_on(own_redis.url, network, telemetry, {"a": 5}):
        pass
    with redis.Redis.from_url(own_redis.url) as client:
        (halved,) = client.keys("impress:halved:*")
        client.delete(halved)
    async with hot_list_on(own_redis.url, network, telemetry, {"b": 3}) as hot_list:
        await hot_list.tell()
        assert await hot_list.hottest(10) == ["b", "a"]


async def test_without_redis_the_list_is_empty_and_nothing_fails(
    own_redis: RedisServer, network: FrozenNetwork, telemetry: Telemetry
) -> None:
    own_redis.kill()
    async with hot_list_on(own_redis.url, network, telemetry, {"a": 3}) as hot_list:
        assert await hot_list.hottest(10) == []
