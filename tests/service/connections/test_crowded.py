"""What becomes of requests for whose rows there is no room: known by their heads alone."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from model_store.store import Store
from service.access.key_file import hash_of
from tests.service.connections.test_direct_protocol import (
    OCTETS,
    OIP_BODY,
    OIP_LENGTH,
    RAW,
    ROW,
    Served,
    served,
)

pytestmark = pytest.mark.anyio

NAMED = "/v1/predict?task=task-0"
NO_NUMBER = np.full((1, 20), np.nan, np.float32).tobytes()


@asynccontextmanager
async def crowded(store: Store, *first: str, **settings: Any) -> AsyncIterator[Served]:
    """With two rows that wait until the end, and no room for more of their caller."""
    limits = {"max_batch_rows": 3, "max_queue_rows": 3, "max_request_rows": 3}
    async with served(store, max_batch_delay_ms=1000, **limits, **settings) as service:
        connection = await service.connection()
        connection.send(NAMED, ROW * 2, OCTETS, RAW, *first)
        async with asyncio.timeout(10):
            while not service.app.direct.predictor.is_crowded:  # noqa: ASYNC110 nobody tells
                await asyncio.sleep(0.001)
        yield service


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (NAMED, ROW, [OCTETS]),
        (NAMED, NO_NUMBER, [OCTETS]),
        ("/v2/models/task-0/infer", OIP_BODY, [OIP_LENGTH]),
        ("/v2/models/task-0/infer", OIP_BODY[:-1] + b"?", [OIP_LENGTH]),
    ],
    ids=["rows", "no numbers", "tensors", "broken tensors"],
)
async def test_whatever_a_body_holds_is_refused_once_it_is_there_and_the_connection_stays(
    store: Store, path: str, body: bytes, headers: list[str]
) -> None:
    async with crowded(store) as service:
        connection = await service.connection()
        connection.send(path, body[:30], *headers, length=len(body))
        await asyncio.sleep(0.05)
        for _ in range(3):
            connection.writer.write(body[30:])
            code, lines, content = await connection.answer()
            assert (code, lines["retry-after"]) == (503, "1")
            assert "2 rows wait, 2 of them this caller's: 1 more" in orjson.loads(content)["detail"]
            connection.send(path, body[:30], *headers, length=len(body))
        connection.writer.write(body[30:])
        await connection.answer()
        assert (await connection.ask("/v1/predict?task=none", ROW * 9, OCTETS))[0] == 422
        assert 'reason="saturated"} 4.0' in await service.metrics()


async def test_what_has_room_or_needs_none_is_answered(store: Store) -> None:
    async with crowded(store, "X-Forwarded-For: 192.0.2.1") as service:
        other, inferring = await service.connection(), await service.connection()
        other.send(NAMED, ROW, OCTETS, "X-Forwarded-For: 192.0.2.2")
        code, _, _ = await inferring.ask("/v1/predict", ROW, OCTETS, "X-Forwarded-For: 192.0.2.1")
        assert code == 200
        assert (await other.answer())[0] == 200


async def test_key_pays_once_for_a_request_and_is_asked_for_first(
    store: Store, tmp_path: Path
) -> None:
    key = {"name": "app", "scopes": ["predict"], "sha256": [hash_of("secret")]}
    quota = {"requests_per_second": 0.03, "burst_seconds": 100}
    keys = tmp_path / "keys.json"
    keys.write_bytes(orjson.dumps({"keys": [key | quota]}))
    secret = "Authorization: Bearer secret"
    async with crowded(store, secret, keys_file=keys) as service:
        connection = await service.connection()
        asked = [await connection.ask(NAMED, ROW, OCTETS, secret) for _ in range(3)]
        assert [code for code, _, _ in asked] == [503, 503, 429]
        assert (await connection.ask(NAMED, ROW, OCTETS))[0] == 401


async def test_refusals_leave_nothing_for_the_garbage_collector(store: Store) -> None:
    async with crowded(store) as service:
        connection = await service.connection()

        async def ask() -> None:
            connection.send(NAMED, ROW, OCTETS)
            head = await connection.reader.readuntil(b"\r\n\r\n")
            length = head.partition(b"content-length: ")[2].split(b"\r", 1)[0]
            await connection.reader.readexactly(int(length))

        for _ in range(20):
            await ask()
        gc.collect()
        gc.disable()
        try:
            for _ in range(100):
                await ask()
            assert gc.collect() < 100
        finally:
            gc.enable()
