"""What surrounds a call, on a real gRPC server whose answers are the tests' own."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import grpc
import pytest

from model_store import errors as store_errors
from service import errors
from service.engine.registry.entries import Terms
from service.grpc_face.boundary import STATUS, Answer, Boundary, caller_of
from service.problems import STATUS_CODES
from service.watching.noted_requests import NotedRequests
from service.watching.observer import Observer
from service.watching.telemetry import Telemetry

pytestmark = pytest.mark.anyio

PATH = "/test.Service/Call"
# gRPC sends a timeout of ten seconds or more in tenths of a second, rounded up.
WIRE_ROUNDS_UP_SECONDS = 0.102  # and it counts milliseconds
Call = Callable[..., Awaitable[bytes]]


@asynccontextmanager
async def calling(
    telemetry: Telemetry, answer: Answer, default_timeout_ms: float | None = None
) -> AsyncIterator[Any]:
    observer = Observer(telemetry, NotedRequests(None))
    handler = Boundary(observer, default_timeout_ms).around(PATH, answer)
    methods = {"Call": grpc.unary_unary_rpc_method_handler(handler)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Service", methods),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.unary_unary(PATH)
    finally:
        await server.stop(None)


async def until_counted(telemetry: Telemetry, code: int, times: int = 1) -> None:
    # What went wrong is told first, and counted then.
    labels = {"route": PATH, "method": "POST", "code": str(code)}
    deadline = time.monotonic() + 10
    while telemetry.registry.get_sample_value("impress_http_requests_total", labels) != times:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def raising(error: Exception) -> Answer:
    async def answer(request: Any, terms: Terms) -> bytes:
        raise error

    return answer


async def terms_as_seen(
    telemetry: Telemetry, default_timeout_ms: float | None, own_seconds: float | None
) -> Terms:
    seen: list[Terms] = []

    async def answer(request: Any, terms: Terms) -> bytes:
        seen.append(terms)
        return b"answered"

    async with calling(telemetry, answer, default_timeout_ms) as call:
        assert await call(b"", timeout=own_seconds) == b"answered"
    (terms,) = seen
    return terms


async def test_a_calls_own_deadline_is_the_engines(telemetry: Telemetry) -> None:
    before = time.monotonic()
    terms = await terms_as_seen(telemetry, 3_600_000, own_seconds=60)
    assert before < terms.deadline <= time.monotonic() + 60 + WIRE_ROUNDS_UP_SECONDS
    assert terms.caller == "127.0.0.1"


async def test_without_a_deadline_the_settings_decide(telemetry: Telemetry) -> None:
    before = time.monotonic()
    assert (await terms_as_seen(telemetry, None, own_seconds=None)).deadline == inf
    terms = await terms_as_seen(telemetry, 60_000, own_seconds=None)
    assert before + 60 <= terms.deadline <= time.monotonic() + 60
    await until_counted(telemetry, 200, times=2)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.MalformedRequest("why"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.InvalidInput("why"), grpc.StatusCode.INVALID_ARGUMENT),
        (store_errors.UnknownTask("why"), grpc.StatusCode.NOT_FOUND),
        (errors.StaysLoaded("why"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.DeadlinePassed("why"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (errors.StoreUnavailable("why"), grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_what_is_wrong_reaches_the_caller_in_words(
    telemetry: Telemetry, error: Exception, status: grpc.StatusCode
) -> None:
    async with calling(telemetry, raising(error)) as call:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"")
    assert raised.value.code() == status
    assert raised.value.details() == "why"
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS_CODES)
    await until_counted(telemetry, STATUS_CODES[kind])


def test_every_code_of_the_table_has_its_word() -> None:
    assert set(STATUS_CODES.values()) | {500} <= set(STATUS)


async def test_a_mistake_of_the_services_own_says_nothing(telemetry: Telemetry) -> None:
    async with calling(telemetry, raising(KeyError("secret"))) as call:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"")
    assert raised.value.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in (raised.value.details() or "")
    await until_counted(telemetry, 500)


async def test_a_saturated_service_says_when_to_try_again(telemetry: Telemetry) -> None:
    async with calling(telemetry, raising(errors.Saturated("full", 1.5))) as call:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"")
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    assert dict(raised.value.trailing_metadata() or ())["grpc-retry-pushback-ms"] == "1500"


@pytest.mark.parametrize(("seconds", "code"), [(None, 499), (0.2, 504)])
async def test_work_ends_for_a_caller_who_left_or_whose_time_is_over(
    telemetry: Telemetry, seconds: float | None, code: int
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: Any, terms: Terms) -> bytes:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return b""

    async with calling(telemetry, answer) as call:
        under_way = call(b"", timeout=seconds)
        waiting = asyncio.ensure_future(under_way.code())
        await begun.wait()
        if seconds is None:
            under_way.cancel()
        await asyncio.wait_for(ended.wait(), 20)
        await waiting
    await until_counted(telemetry, code)


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        ("ipv4:10.0.0.7:4711", "10.0.0.7"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:[fe80::1]:4711", "fe80::1"),
        ("unix:/run/socket", "unix:/run/socket"),
    ],
)
async def test_caller_is_the_address_as_http_has_it(peer: str, caller: str) -> None:
    assert caller_of(peer) == caller


async def test_what_failed_is_logged_under_the_callers_own_name(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(telemetry, raising(RuntimeError("odd"))) as call:
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"", metadata=(("x-request-id", "mine"),))
        await until_counted(telemetry, 500)
    named = [record.__dict__["request_id"] for record in caplog.records]
    assert named == ["mine", "mine"]  # the mistake itself, and the request that it failed
