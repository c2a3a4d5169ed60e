"""Buckets that two replicas have in common, through a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from model_store.network import FrozenNetwork
from service.access.key_file import KeyRecord, hash_of
from service.access.quotas import KeyAllowance, Quotas
from service.access.shared_quotas import SharedQuotas
from service.engine.tiers.redis_link import RedisLink
from service.errors import QuotaExceeded
from service.watching.telemetry import Telemetry
from tests.real_parts import RedisServer

pytestmark = pytest.mark.anyio

Start = Callable[[], AbstractAsyncContextManager["Replica"]]

# So slow that no token comes back while a test runs.
RECORD = KeyRecord.model_validate(
    {
        "name": "app",
        "scopes": ["predict"],
        "sha256": [hash_of("a")],
        "requests_per_second": 0.01,
        "rows_per_second": 0.01,
        "burst_seconds": 1000,
    }
)


class Replica:
    def __init__(self, link: RedisLink, network: FrozenNetwork) -> None:
        quotas = Quotas(lambda: None)
        self.allowance: KeyAllowance
        (self.allowance,) = quotas.allowances([RECORD])
        self.shared = SharedQuotas(link, network, quotas)

    def requests_had(self, asked: int) -> int:
        for count in range(asked):
            try:
                self.allowance.take_request()
            except QuotaExceeded:
                return count
        return asked


@pytest.fixture
def replica(own_redis: RedisServer, network: FrozenNetwork) -> Start:
    @asynccontextmanager
    async def started() -> AsyncIterator[Replica]:
        link = RedisLink(own_redis.url, 2000, Telemetry(CollectorRegistry()))
        await link.start()
        try:
            yield Replica(link, network)
        finally:
            await link.close()

    return started


async def test_replicas_share_a_bucket(replica: Start) -> None:
    async with replica() as first, replica() as second:
        assert first.requests_had(6) == 6
        await first.shared.tell()
        # It hears of the other's six when it tells of its own.
        assert second.requests_had(1) == 1
        await second.shared.tell()
        assert second.requests_had(10) == 3
        await second.shared.tell()
        first.allowance.take_request()
        await first.shared.tell()
        assert first.requests_had(1) == 0


async def test_rows_and_requests_are_counted_apart(replica: Start) -> None:
    async with replica() as first, replica() as second:
        first.allowance.take_rows(10)
        await first.shared.tell()
        second.allowance.take_rows(1)
        await second.shared.tell()
        with pytest.raises(QuotaExceeded):
            second.allowance.take_rows(1)
        assert second.requests_had(10) == 10


async def test_what_is_taken_while_redis_is_asked_is_not_forgotten(replica: Start) -> None:
    async with replica() as one:
        one.allowance.take_request()
        telling = asyncio.create_task(one.shared.tell())
        await asyncio.sleep(0)
        assert one.requests_had(4) == 4
        await telling
        assert one.requests_had(10) == 5


async def test_without_redis_each_keeps_the_rate_by_itself(
    replica: Start, own_redis: RedisServer
) -> None:
    async with replica() as one:
        assert one.requests_had(4) == 4
        own_redis.kill()
        await one.shared.tell()
        assert one.requests_had(10) == 6
        await one.shared.close()


async def test_told_at_intervals_and_once_more_at_the_end(replica: Start) -> None:
    async with replica() as first, replica() as second:
        first.shared.start()
        first.requests_had(3)
        async with asyncio.timeout(10):
            while first.allowance.requests is not None and first.allowance.requests.taken:  # noqa: ASYNC110 it has no event
                await asyncio.sleep(0.01)
        first.requests_had(3)
        await first.shared.close()
        second.requests_had(1)
        await second.shared.tell()
        assert second.requests_had(10) == 3
