"""ASGI middleware that answers requests of raw tensors itself, without routing or dependencies.

A framework costs such a request several times what its prediction does. Everything else, and every
path that is not the lane's, goes on to the application behind it.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import CallerLeft
from service.problems import problem_of

OCTETS = b"application/octet-stream"
HEADER_LENGTH = b"inference-header-content-length"


class RawRequest:
    """A request as ASGI has it; of a header that is sent twice the last one counts."""

    __slots__ = ("headers", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])

    def has_octets(self) -> bool:
        """Whether the content type is that of raw bytes."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == OCTETS

    async def body(self) -> bytes:
        """The whole body. Raises `CallerLeft` where it ends before its end."""
        parts: list[bytes] = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise CallerLeft("the caller left before the body was there")
            part: bytes = message.get("body", b"")
            if not message.get("more_body"):
                return part if not parts else b"".join((*parts, part))
            parts.append(part)


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A body and its headers, of status 200; the length is added."""

    body: bytes
    headers: Sequence[tuple[bytes, bytes]]


Handler = Callable[[RawRequest, Mapping[str, str]], Awaitable[RawAnswer]]
"""From a request and the parts of its path by name."""


class LaneRoute:
    """A path with `{names}` and what answers it; metrics know it by that path."""

    def __init__(self, path: str, handler: Handler) -> None:
        self.path = path
        self.handler = handler
        self.match = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)).fullmatch


class FastLane:
    """Takes what is posted to `routes` as raw bytes, or with a binary tensor's header."""

    def __init__(self, app: ASGIApp, routes: Sequence[LaneRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            request = RawRequest(scope, receive)
            if request.has_octets() or HEADER_LENGTH in request.headers:
                for route in self._routes:
                    parts = route.match(scope["path"])
                    if parts is not None:
                        scope["route"] = route
                        await _answer(request, route.handler, parts.groupdict(), send)
                        return
        await self._app(scope, receive, send)


async def _answer(
    request: RawRequest, handler: Handler, parts: Mapping[str, str], send: Send
) -> None:
    try:
        answer = await handler(request, parts)
    except Exception as error:  # the boundary: whatever it is, the caller is told
        problem = problem_of(Request(request.scope), error)
        await problem(request.scope, request.receive, send)
        return
    length = (b"content-length", b"%d" % len(answer.body))
    headers = [length, *answer.headers]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
