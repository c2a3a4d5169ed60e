"""ASGI middleware for gzip and deflate: `Content-Encoding` of requests, and of texts in answers.

However little of it was sent, a body is never held larger than a body may be.
"""

import asyncio
import zlib
from functools import lru_cache

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, CallerLeft, MalformedRequest, UnsupportedMedia

_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""For zlib; deflate is the format of its own around the raw stream, as HTTP means it."""

_LEAST_BYTES = 1400
"""What fits in a packet gains nothing."""
_OFF_LOOP_BYTES = 1 << 15
"""Compressing more takes half a millisecond and up, which the event loop has not."""


class ContentCoding:
    """Decodes a body as the route reads it, and so raises into the route.

    Answers are compressed where the client accepts it and they are JSON of some length: numbers as
    raw bytes hardly shrink.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"content-encoding":
                    receive = self._decoded(receive, value)
                elif name == b"accept-encoding" and (coding := _chosen(value)) is not None:
                    send = _Compressing(send, coding)
        await self._app(scope, receive, send)

    def _decoded(self, receive: Receive, coding: bytes) -> Receive:
        decoded = False

        async def receive_decoded() -> Message:
            nonlocal decoded
            if decoded:
                return await receive()
            decoded = True
            name = _known(coding)
            body = await _whole(receive)
            if name is not None:
                body = await asyncio.to_thread(_inflated, body, name, self._max_bytes)
            return {"type": "http.request", "body": body, "more_body": False}

        return receive_decoded


class _Compressing:
    """Holds the head of an answer back until it knows the length that its body then has."""

    def __init__(self, send: Send, coding: str) -> None:
        self._send = send
        self._coding = coding
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _gains(message):
            self._head = message
            return
        head, self._head = self._head, None
        if head is not None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                message = await self._compressed(head, message)
            await self._send(head)
        await self._send(message)

    async def _compressed(self, head: Message, message: Message) -> Message:
        body: bytes = message["body"]
        if len(body) < _OFF_LOOP_BYTES:
            body = _deflated(body, self._coding)
        else:
            body = await asyncio.to_thread(_deflated, body, self._coding)
        headers = MutableHeaders(raw=list(head["headers"]))
        headers["Content-Encoding"] = self._coding
        headers["Content-Length"] = str(len(body))
        headers.add_vary_header("Accept-Encoding")
        head["headers"] = headers.raw
        return {**message, "body": body}


def _gains(head: Message) -> bool:
    headers = dict(head["headers"])
    length = headers.get(b"content-length", b"0")
    return headers.get(b"content-type") == b"application/json" and int(length) >= _LEAST_BYTES


async def _whole(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft("the caller left before the body was there")
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _known(coding: bytes) -> str | None:
    name = coding.decode("latin-1").strip().lower()
    if name not in (*_WINDOW_BITS, "identity"):
        raise UnsupportedMedia(f"Content-Encoding: expected gzip or deflate, got {name[:40]!r}")
    return name if name in _WINDOW_BITS else None


def _inflated(body: bytes, coding: str, max_bytes: int) -> bytes:
    stream = zlib.decompressobj(_WINDOW_BITS[coding])
    try:
        content = stream.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise MalformedRequest(f"expected {coding}, as Content-Encoding says: {error}") from None
    if len(content) > max_bytes:
        raise BodyTooLarge(f"a body may have {max_bytes} bytes, this one has more, decompressed")
    if not stream.eof or stream.unused_data:
        raise MalformedRequest(f"expected one whole {coding} stream, got a part of one, or more")
    return content


def _deflated(body: bytes, coding: str) -> bytes:
    stream = zlib.compressobj(1, wbits=_WINDOW_BITS[coding])
    return stream.compress(body) + stream.flush()


@lru_cache(maxsize=256)
def _chosen(accepted: bytes) -> str | None:
    for said in accepted.decode("latin-1").lower().split(","):
        coding, _, weight = said.partition(";")
        if coding.strip() in _WINDOW_BITS and weight.replace(" ", "").rstrip("0.") != "q=":
            return coding.strip()
    return None
