"""ASGI middleware that names each request and counts it. Plain ASGI: it costs next to nothing."""

import re
import secrets
from itertools import count
from time import perf_counter

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry import Telemetry

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Observer:
    """Sets `scope["request_id"]`, echoes it as `X-Request-ID`, and feeds the HTTP metrics."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry
        # Unlike any other process's; asking the system for randomness each time costs more.
        self._numbers = count(int.from_bytes(secrets.token_bytes(8)))
        self._under_way = 0
        telemetry.in_flight.set_function(lambda: self._under_way)
        # Looking up a metric by its labels costs more than counting; routes and codes are few.
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope["headers"]) or b"%016x" % (next(self._numbers) % (1 << 64))
        scope["request_id"] = request_id.decode()
        code = 500

        async def send_named(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                # A list of its own: an application may send the same one again and again.
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        started = perf_counter()
        self._under_way += 1
        try:
            await self._app(scope, receive, send_named)
        finally:
            self._under_way -= 1
            # The route's template, never the path: a path holds a task's name.
            route = getattr(scope.get("route"), "path", "unmatched")
            requests, seconds = self._metrics(route, scope["method"], code)
            requests.inc()
            seconds.observe(perf_counter() - started)

    def _metrics(self, route: str, method: str, code: int) -> tuple[Counter, Histogram]:
        if method not in _KNOWN_METHODS:
            method = "other"
        found = self._counted.get((route, method, code))
        if found is None:
            found = self._counted[route, method, code] = (
                self._telemetry.http_requests.labels(route, method, str(code)),
                self._telemetry.http_seconds.labels(route),
            )
        return found


def _given_id(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"x-request-id":
            return value if _REQUEST_ID.fullmatch(value) else None
    return None
