"""Raw requests over sockets: what is answered without ASGI is what the application would answer."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import uvicorn
from uvicorn.server import ServerState

from model_store.store import Store
from service.app import Application, create_app
from service.connections.bounded_protocol import BoundedProtocol
from service.connections.direct_protocol import DirectProtocol
from service.readiness import Readiness
from service.settings import Settings

pytestmark = pytest.mark.anyio

ROW = np.random.default_rng(5).random((1, 20), dtype=np.float32).tobytes()
OCTETS = "Content-Type: application/octet-stream"
RAW = "Accept: application/octet-stream"


class Connection:
    """A client's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, path: str, body: bytes, *headers: str, length: int | None = None) -> None:
        said = f"Content-Length: {len(body) if length is None else length}"
        head = (f"POST {path} HTTP/1.1", "Host: x", said, *headers)
        self.writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode()
        status, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, body

    async def ask(self, path: str, body: bytes, *headers: str) -> tuple[int, dict[str, str], bytes]:
        self.send(path, body, *headers)
        return await self.answer()

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""


class Served:
    """The application on two ports: one with direct answers, one as uvicorn has it."""

    def __init__(self, app: Application, state: ServerState, ports: dict[str, int]) -> None:
        self.app, self.state, self._ports = app, state, ports
        self.opened: list[Connection] = []

    async def connection(self, way: str = "direct") -> Connection:
        opened = Connection(*await asyncio.open_connection(*self.address(way)))
        self.opened.append(opened)
        return opened

    def address(self, way: str = "direct") -> tuple[str, int]:
        return "127.0.0.1", self._ports[way]

    async def close(self) -> None:
        for connection in self.opened:
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()
        async with asyncio.timeout(10):
            while self.state.connections:  # noqa: ASYNC110 uvicorn has no event for it
                await asyncio.sleep(0.01)

    async def metrics(self) -> str:
        connection = await self.connection("ordinary")
        connection.writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        return (await connection.answer())[2].decode()


Serve = Callable[..., Awaitable[Served]]


@asynccontextmanager
async def lifespan(app: Application) -> AsyncIterator[None]:
    told: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan", "state": {}}, told.get, said.put))
    await told.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    yield
    await told.put({"type": "lifespan.shutdown"})
    await said.get()
    await running


@asynccontextmanager
async def served(store: Store, **settings: Any) -> AsyncIterator[Served]:
    app = create_app(Settings(store=Path(str(store.files)), **settings), Readiness())
    config = uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False)
    config.load()
    state = ServerState()
    given: dict[str, Any] = {"config": config, "server_state": state, "app_state": {}}
    loop = asyncio.get_running_loop()
    async with lifespan(app):
        protocols: dict[str, Callable[[], asyncio.Protocol]] = {
            "direct": partial(DirectProtocol, app.direct, **given),
            "ordinary": partial(BoundedProtocol, **given),
        }
        servers = {
            way: await loop.create_server(protocol, "127.0.0.1", 0)
            for way, protocol in protocols.items()
        }
        ports = {way: server.sockets[0].getsockname()[1] for way, server in servers.items()}
        made = Served(app, state, ports)
        try:
            yield made
        finally:
            for server in servers.values():
                server.close()
            await made.close()


def oip(*outputs: str) -> tuple[bytes, str]:
    tensor = {"name": "inputs", "shape": [1, 20], "datatype": "FP32"}
    header = orjson.dumps(
        {
            "id": "mine",
            "inputs": [tensor | {"parameters": {"binary_data_size": len(ROW)}}],
            "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs],
        }
    )
    return header + ROW, f"Inference-Header-Content-Length: {len(header)}"


OIP_BODY, OIP_LENGTH = oip("labels", "logits", "probabilities")

REQUESTS: list[tuple[str, str, bytes, list[str]]] = [
    ("raw rows", "/v1/predict?task=masked", ROW, [OCTETS, RAW]),
    ("raw logits", "/v1/predict?task=masked&output=logits", ROW * 3, [OCTETS, RAW]),
    ("answered in JSON", "/v1/predict?task=masked", ROW, [OCTETS]),
    ("binary tensors", "/v2/models/masked/infer", OIP_BODY, [OIP_LENGTH]),
    ("no such version", "/v2/models/masked/versions/1/infer", OIP_BODY, [OIP_LENGTH]),
    ("no such task", "/v1/predict?task=none", ROW, [OCTETS, RAW]),
    ("no such output", "/v1/predict?task=masked&output=x", ROW, [OCTETS]),
    ("odd bytes", "/v1/predict?task=masked", ROW[:-1], [OCTETS]),
    ("nothing", "/v1/predict?task=masked", b"", [OCTETS]),
    ("not finite", "/v1/predict?task=masked", b"\xff" * 80, [OCTETS]),
    ("bad tensor", "/v2/models/masked/infer", b"{}" + ROW, ["Inference-Header-Content-Length: 2"]),
    ("bad deadline", "/v1/predict?task=masked", ROW, [OCTETS, "X-Request-Timeout-Ms: never"]),
    ("past deadline", "/v1/predict?task=task-0", ROW, [OCTETS, "X-Request-Timeout-Ms: 1e-9"]),
    ("without a task", "/v1/predict", ROW, [OCTETS]),
    ("without a task, raw", "/v1/predict", ROW, [OCTETS, RAW]),
    ("a picture that is none", "/v1/predict?task=masked", ROW, ["Content-Type: image/png"]),
    ("another path", "/v1/nothing", ROW, [OCTETS]),
    ("an escaped path", "/v2/models/%6dasked/infer", OIP_BODY, [OIP_LENGTH]),
    ("many rows", "/v1/predict?task=masked&output=logits", ROW * 900, [OCTETS, RAW]),
    ("too many rows", "/v1/predict?task=masked", ROW * 1100, [OCTETS]),
    ("by a proxy", "/v1/predict?task=masked", ROW, [OCTETS, RAW, "X-Forwarded-For: 192.0.2.1"]),
]


@pytest.mark.parametrize(
    ("path", "body", "headers"), [one[1:] for one in REQUESTS], ids=[one[0] for one in REQUESTS]
)
async def test_answer_is_the_applications_own(
    store: Store, path: str, body: bytes, headers: list[str]
) -> None:
    async with served(store) as service:
        answers = []
        for way in ("direct", "ordinary"):
            connection = await service.connection(way)
            # The first one of a connection and the next; the weights are composed by then.
            for name in ("first", "second"):
                code, lines, content = await connection.ask(
                    path, body, *headers, f"X-Request-ID: {name}"
                )
                assert lines["x-request-id"] == name
                answers.append((code, lines, content))
        (_, second), (_, expected) = answers[:2], answers[2:]
        assert second == expected
        counted = [
            line for line in (await service.metrics()).splitlines() if f'code="{second[0]}"' in line
        ]
    assert any(line.endswith(" 4.0") for line in counted), counted


async def test_most_requests_need_no_task_of_their_own(store: Store) -> None:
    async with served(store) as service:
        connection = await service.connection()
        # A mask of its own is composed first, for which somebody has to wait.
        for _ in range(2):
            await connection.ask("/v1/predict?task=masked", ROW, OCTETS, RAW)
        made: list[str] = []

        def note(loop: Any, coroutine: Any, **given: Any) -> asyncio.Task[Any]:
            made.append(coroutine.__qualname__)
            return asyncio.Task(coroutine, loop=loop, **given)

        loop = asyncio.get_running_loop()
        loop.set_task_factory(note)
        await connection.ask("/v1/predict?task=masked", ROW, OCTETS, RAW)
        await connection.ask("/v2/models/task-0/infer", OIP_BODY, OIP_LENGTH)
        loop.set_task_factory(None)
        assert not any("run_asgi" in name for name in made), made


async def test_callers_behind_a_trusted_proxy_share_the_queue_fairly(store: Store) -> None:
    limits = {"max_batch_delay_ms": 300, "max_queue_rows": 8, "max_request_rows": 8}
    async with served(store, max_batch_rows=16, **limits) as service:
        one = "X-Forwarded-For: 192.0.2.1"
        connections = [await service.connection() for _ in range(3)]
        connections[0].send("/v1/predict?task=task-0", ROW * 4, OCTETS, one)
        await asyncio.sleep(0.05)
        # Who waits already may take no more than it leaves to others; another has that.
        refused = await connections[1].ask("/v1/predict?task=task-0", ROW, OCTETS, one)
        other = "X-Forwarded-For: 192.0.2.2"
        connections[2].send("/v1/predict?task=task-0", ROW * 4, OCTETS, other)
        codes = [(await connections[index].answer())[0] for index in (0, 2)]
    assert (refused[0], codes) == (503, [200, 200])


async def test_answered_requests_leave_nothing_for_the_garbage_collector(store: Store) -> None:
    async with served(store) as service:
        connection = await service.connection()

        async def ask() -> None:
            # Not by a client's comforts, which leave some of their own.
            connection.send("/v1/predict?task=task-0", ROW, OCTETS, RAW)
            assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await connection.reader.readexactly(16)

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


async def test_body_may_come_in_parts_and_connections_stay_open(store: Store) -> None:
    async with served(store) as service:
        connection = await service.connection()
        expected = await connection.ask("/v1/predict?task=masked", ROW, OCTETS, RAW)
        connection.send("/v1/predict?task=masked", ROW[:30], OCTETS, RAW, length=len(ROW))
        await asyncio.sleep(0.05)
        connection.writer.write(ROW[30:])
        code, _, content = await connection.answer()
        assert (code, content) == (200, expected[2])
        assert (await connection.ask("/v1/predict?task=none", ROW, OCTETS))[0] == 404
        assert (await connection.ask("/v1/predict?task=masked", ROW, OCTETS))[0] == 200


async def test_requests_behind_one_another_are_answered_in_their_order(store: Store) -> None:
    async with served(store) as service:
        connection = await service.connection()
        for task in ("task-0", "none", "task-1", "masked", "task-2"):
            connection.send(f"/v1/predict?task={task}", ROW, OCTETS, f"X-Request-ID: {task}")
        names = [(await connection.answer())[1]["x-request-id"] for _ in range(5)]
    assert names == ["task-0", "none", "task-1", "masked", "task-2"]


async def test_connection_is_closed_where_its_caller_asks_for_that(store: Store) -> None:
    async with served(store) as service:
        for task, code in (("task-0", 200), ("none", 404)):
            connection = await service.connection()
            answer = await connection.ask(
                f"/v1/predict?task={task}", ROW, OCTETS, "Connection: close"
            )
            assert (answer[0], answer[1]["connection"]) == (code, "close")
            assert await connection.ended()


async def test_who_leaves_is_not_computed_and_counts_as_gone(store: Store) -> None:
    async with served(store, max_batch_delay_ms=300) as service:
        leaving, staying = await service.connection(), await service.connection()
        leaving.send("/v1/predict?task=task-0", ROW, OCTETS, RAW)
        staying.send("/v1/predict?task=task-0", ROW, OCTETS, RAW)
        await asyncio.sleep(0.1)
        leaving.writer.close()
        assert (await staying.answer())[0] == 200
        metrics = await service.metrics()
    assert 'impress_rejected_total{reason="left"} 1.0' in metrics
    assert 'code="499",method="POST",route="/v1/predict"} 1.0' in metrics
    assert "impress_batch_rows_sum 1.0" in metrics
    assert "impress_requests_in_flight 1.0" in metrics  # the one that asks


async def test_who_waits_beyond_its_deadline_is_told_then(store: Store) -> None:
    async with served(store, max_batch_delay_ms=1000, request_timeout_ms=50) as service:
        connection = await service.connection()
        hurried = await connection.ask(
            "/v1/predict?task=task-0", ROW, OCTETS, "X-Request-Timeout-Ms: 20"
        )
        metrics = await service.metrics()
    # Whether its batch begins just before that depends on the clocks' grain.
    assert hurried[0] in (200, 504)
    assert ('reason="expired"} 1.0' in metrics) == (hurried[0] == 504)


async def test_full_queue_refuses_and_says_when_to_ask_again(store: Store) -> None:
    limits = {"max_batch_delay_ms": 300, "max_queue_rows": 2, "max_request_rows": 2}
    async with served(store, max_batch_rows=8, **limits) as service:
        first, second = await service.connection(), await service.connection()
        first.send("/v1/predict?task=task-0", ROW * 2, OCTETS, RAW)
        await asyncio.sleep(0.05)
        code, lines, content = await second.ask("/v1/predict?task=task-0", ROW, OCTETS, RAW)
        assert (code, lines["retry-after"]) == (503, "1")
        assert "rows wait" in orjson.loads(content)["detail"]
        assert (await first.answer())[0] == 200
        assert 'reason="saturated"} 1.0' in await service.metrics()


async def test_connection_that_ends_in_the_middle_leaves_nothing(store: Store) -> None:
    async with served(store) as service:
        for sent in (ROW[:30], b""):
            connection = await service.connection()
            connection.send("/v1/predict?task=task-0", sent, OCTETS, length=len(ROW))
            await asyncio.sleep(0.05)
            connection.writer.close()
        broken = await service.connection()
        broken.send("/v1/predict?task=task-0", ROW + b"no request", OCTETS, length=len(ROW))
        assert (await broken.answer())[0] in (200, 400)
        await asyncio.sleep(0.05)
        assert len(service.state.connections) <= 1
        assert "impress_requests_in_flight 1.0" in await service.metrics()


async def test_service_that_stops_answers_what_it_took(store: Store) -> None:
    async with served(store, max_batch_delay_ms=200) as service:
        waiting, reading = await service.connection(), await service.connection()
        waiting.send("/v1/predict?task=task-0", ROW, OCTETS, RAW)
        reading.send("/v1/predict?task=task-0", ROW[:10], OCTETS, RAW, length=len(ROW))
        await asyncio.sleep(0.05)
        for protocol in list(service.state.connections):
            assert isinstance(protocol, DirectProtocol)
            protocol.shutdown()
        reading.writer.write(ROW[10:])
        for connection in (waiting, reading):
            code, lines, _ = await connection.answer()
            assert (code, lines["connection"]) == (200, "close")
            assert await connection.ended()
