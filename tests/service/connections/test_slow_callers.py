"""Callers that keep the service waiting, over sockets: they are ended, and nobody else is."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from model_store.store import Store
from service.connections.bounded_protocol import BoundedProtocol
from tests.service.connections.test_direct_protocol import (
    OCTETS,
    RAW,
    ROW,
    Connection,
    Served,
    served,
)

pytestmark = pytest.mark.anyio

BEGUN = {
    "nothing": b"",
    "part of a head": b"POST /v1/predict?task=task-0 HTTP/1.1\r\nHost: x\r\n",
    "part of raw rows": b"POST /v1/predict?task=task-0 HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 80\r\nContent-Type: application/octet-stream\r\n\r\n1234",
    "part of JSON": b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 80\r\n"
    b"Content-Type: application/json\r\n\r\n{",
    "part of a chunk": b"PUT /v1/tasks/new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/octet-stream\r\n\r\n80\r\n1234",
}


@asynccontextmanager
async def looked_after(store: Store, **settings: Any) -> AsyncIterator[Served]:
    async with served(store, slow_caller_seconds=0.2, **settings) as service:

        async def look() -> None:
            while True:
                service.app.slow_callers.look(service.state.connections)  # type: ignore[arg-type]
                await asyncio.sleep(0.01)

        looking = asyncio.create_task(look())
        yield service
        looking.cancel()


async def until_alone(service: Served) -> None:
    async with asyncio.timeout(10):
        while service.state.connections:  # noqa: ASYNC110 uvicorn has no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", ["direct", "ordinary"])
@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN.keys())
async def test_request_that_never_ends_is_ended(store: Store, way: str, begun: bytes) -> None:
    async with looked_after(store) as service:
        connection = await service.connection(way)
        connection.writer.write(begun)
        if begun:
            code, lines, _ = await connection.answer()
            assert (code, lines["connection"]) == (408, "close")
        assert await connection.ended()
        await until_alone(service)
        metrics = await service.metrics()
    assert 'impress_rejected_total{reason="slow"} 1.0' in metrics
    assert "impress_requests_in_flight 1.0" in metrics  # the one that asks
    assert 'code="500"' not in metrics


async def test_who_waits_for_an_answer_is_not_slow(store: Store) -> None:
    async with looked_after(store, max_batch_delay_ms=1000) as service:
        connection = await service.connection()
        answer = await connection.ask("/v1/predict?task=task-0", ROW, OCTETS, RAW)
        # Longer than a slow one has, but between two requests.
        await asyncio.sleep(0.5)
        again = await connection.ask("/v1/predict?task=task-0", ROW, OCTETS, RAW)
        metrics = await service.metrics()
    assert (answer[0], again[0]) == (200, 200)
    assert 'impress_rejected_total{reason="slow"} 0.0' in metrics


@pytest.mark.parametrize("way", ["direct", "ordinary"])
@pytest.mark.parametrize(("rows", "at_once"), [(200, 1), (1, 100)], ids=["large", "many"])
async def test_answers_that_nobody_takes_are_bounded_and_their_caller_is_ended(
    store: Store, way: str, rows: int, at_once: int
) -> None:
    body = ROW * rows
    head = f"POST /v1/predict?task=task-0 HTTP/1.1\r\nHost: x\r\n{OCTETS}\r\n"
    requests = (f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body) * at_once
    most_bytes = most_in_line = 0
    async with looked_after(store) as service:
        greedy = await service.connection(way)
        while not service.state.connections:  # noqa: ASYNC110 uvicorn has no event for it
            await asyncio.sleep(0.001)
        (connection,) = service.state.connections
        assert isinstance(connection, BoundedProtocol)
        # One end takes no more than a little, and the other one never reads.
        accepted = connection.transport.get_extra_info("socket")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        greedy.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(150):
            if not service.state.connections:
                break
            answered = service.state.total_requests
            greedy.writer.write(requests)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    while service.state.total_requests == answered:  # noqa: ASYNC110 as above
                        await asyncio.sleep(0.001)
            most_bytes = max(most_bytes, connection.transport.get_write_buffer_size())
            most_in_line = max(most_in_line, len(connection.pipeline))
        await until_alone(service)
        other = await service.connection()
        assert (await other.ask("/v1/predict?task=task-0", ROW, OCTETS, RAW))[0] == 200
    assert 0 < most_bytes < 256 << 10
    # As many as are read in one go.
    assert most_in_line < 2_000


async def test_caller_who_leaves_within_an_upload_is_no_mistake_of_the_service(
    store: Store,
) -> None:
    async with looked_after(store) as service:
        leaving: Connection = await service.connection()
        leaving.writer.write(BEGUN["part of JSON"])
        leaving.writer.write_eof()
        leaving.writer.close()
        await until_alone(service)
        metrics = await service.metrics()
    assert 'code="499",method="POST"' in metrics
    assert 'code="500"' not in metrics
