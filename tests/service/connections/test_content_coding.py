"""Compressed bodies both ways, through the whole application on a real store."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from model_store.store import Store
from service.app import create_app
from service.connections.content_coding import ContentCoding
from service.readiness import Readiness
from service.settings import Settings

INFER = "/v2/models/masked/infer"
MAX_BODY_BYTES = 100_000
CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    settings = Settings(store=Path(str(store.files)), max_body_bytes=MAX_BODY_BYTES)
    with TestClient(create_app(settings, Readiness()), raise_server_exceptions=False) as client:
        client.headers["accept-encoding"] = "identity"
        yield client


def body_of(rows: int) -> bytes:
    values = np.random.default_rng(3).random((rows, 20)).round(3)
    tensor = {"name": "inputs", "shape": list(values.shape), "datatype": "FP32"}
    return orjson.dumps({"inputs": [tensor | {"data": values.tolist()}]})


def test_compressed_request_is_read_as_what_it_was(client: TestClient) -> None:
    plain = client.post(INFER, content=body_of(3))
    for name, packed in CODINGS.items():
        headers = {"Content-Encoding": name.upper()}
        answer = client.post(INFER, content=packed(body_of(3)), headers=headers)
        assert answer.content == plain.content
    as_it_is = client.post(INFER, content=body_of(3), headers={"Content-Encoding": "identity"})
    assert as_it_is.content == plain.content


def test_compressed_raw_rows_are_read_too(client: TestClient) -> None:
    rows = np.random.default_rng(3).random((3, 20), dtype=np.float32).tobytes()
    octets = {"Content-Type": "application/octet-stream"}
    plain = client.post("/v1/predict?task=masked", content=rows, headers=octets)
    headers = octets | {"Content-Encoding": "gzip"}
    answer = client.post("/v1/predict?task=masked", content=gzip.compress(rows), headers=headers)
    assert answer.status_code == 200
    assert answer.json()["predictions"] == plain.json()["predictions"]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 60_000_000])
def test_what_would_unpack_beyond_the_limit_is_refused(
    client: TestClient, coding: str, size: int
) -> None:
    packed = CODINGS[coding](b" " * size)
    assert len(packed) < MAX_BODY_BYTES
    answer = client.post(INFER, content=packed, headers={"Content-Encoding": coding})
    assert answer.status_code == 413
    assert str(MAX_BODY_BYTES) in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "coding", "status"),
    [
        (gzip.compress(body_of(3))[:-1], "gzip", 400),
        (gzip.compress(body_of(3)) + b"more", "gzip", 400),
        (gzip.compress(body_of(3)) * 2, "gzip", 400),
        (zlib.compress(body_of(3)), "gzip", 400),
        (body_of(3), "deflate", 400),
        (b"", "gzip", 400),
        (gzip.compress(gzip.compress(body_of(3))), "gzip, gzip", 415),
        (body_of(3), "br", 415),
    ],
)
def test_damaged_or_unknown_coding_is_refused_in_words(
    client: TestClient, content: bytes, coding: str, status: int
) -> None:
    answer = client.post(INFER, content=content, headers={"Content-Encoding": coding})
    assert answer.status_code == status
    assert "expected" in answer.json()["error"]


@pytest.mark.parametrize("rows", [30, 700])
def test_long_answer_in_json_is_compressed_as_accepted(client: TestClient, rows: int) -> None:
    content = gzip.compress(body_of(rows))
    given = {"Content-Encoding": "gzip"}
    plain = client.post(INFER, content=content, headers=given)
    for accepted, coding in (("gzip", "gzip"), ("br, deflate;q=0.5", "deflate")):
        headers = given | {"Accept-Encoding": accepted}
        with client.stream("POST", INFER, content=content, headers=headers) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == coding
        assert answer.headers["content-length"] == str(len(raw))
        assert answer.headers["vary"] == "Accept-Encoding"
        assert len(raw) < len(plain.content) * 0.7
        assert UNPACK[coding](raw) == plain.content


@pytest.mark.anyio
async def test_answer_in_pieces_is_sent_on_as_it_is() -> None:
    head = [(b"content-type", b"application/json"), (b"content-length", b"4000")]
    pieces = [{"type": "http.response.body", "body": b" " * 2000, "more_body": True}]
    pieces.append({"type": "http.response.body", "body": b" " * 2000})
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for piece in pieces:
            await send(piece)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"accept-encoding", b"gzip")]}
    await ContentCoding(app, MAX_BODY_BYTES)(scope, receive, send)
    assert sent[0]["headers"] == head
    assert sent[1:] == pieces


def test_what_gains_nothing_is_not_compressed(client: TestClient) -> None:
    short = client.post(INFER, content=body_of(1), headers={"Accept-Encoding": "gzip"})
    refused = client.post(INFER, content=body_of(30), headers={"Accept-Encoding": "gzip;q=0, br"})
    document = orjson.loads(body_of(60)) | {"parameters": {"binary_data_output": True}}
    binary = client.post(INFER, json=document, headers={"Accept-Encoding": "gzip"})
    assert len(binary.content) > 1400
    for answer in (short, refused, binary):
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers
