import asyncio

from client.errors import ServerAway
from client.load import closed_load, open_load


def test_every_request_of_a_closed_load_is_an_answer_or_a_failure() -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        mine = asked
        await asyncio.sleep(0.001)
        if mine % 3 == 0:
            raise ServerAway("nobody")

    measured = asyncio.run(closed_load(ask, 4, 0.1))
    assert measured.failures == {"ServerAway": asked // 3}
    assert measured.said == {"ServerAway": "nobody"}
    assert len(measured.latencies_ms) == asked - asked // 3
    assert list(measured.percentiles_ms()) == ["p50", "p90", "p95", "p99", "p99.9", "max"]


def test_there_are_never_more_requests_at_once_than_connections() -> None:
    at_once, most = 0, 0

    async def ask() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.005)
        at_once -= 1

    asyncio.run(closed_load(ask, 3, 0.1))
    assert most == 3
    asyncio.run(open_load(ask, 2, 0.2, 2000))
    assert most == 3


def test_at_a_given_rate_the_wait_for_a_connection_counts() -> None:
    blocked = True

    async def ask() -> None:
        nonlocal blocked
        if blocked:
            blocked = False
            await asyncio.sleep(0.1)

    measured = asyncio.run(open_load(ask, 1, 0.2, 500))
    # All that were due while the first one took so long waited for it.
    assert sum(latency > 10 for latency in measured.latencies_ms) > 5


def test_what_was_due_and_found_no_connection_in_time_is_counted_and_not_sent() -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.3)

    measured = asyncio.run(open_load(ask, 1, 0.1, 500))
    assert (asked, len(measured.latencies_ms)) == (1, 1)
    assert measured.never_sent > 5
