"""Names each request and counts it, as ASGI middleware or for whoever answers without ASGI."""

import re
import secrets
from collections.abc import Mapping
from itertools import count
from time import perf_counter

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.watching.noted_requests import About, NotedRequests
from service.watching.telemetry import Telemetry

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Observer:
    """Of all requests, however they are answered: their names, their number and their time."""

    def __init__(self, telemetry: Telemetry, noted: NotedRequests) -> None:
        self._telemetry = telemetry
        self._noted = noted
        # Unlike any other process's; asking the system for randomness each time costs more.
        self._numbers = count(int.from_bytes(secrets.token_bytes(8)))
        self._under_way = 0
        telemetry.in_flight.set_function(lambda: self._under_way)
        # Looking up a metric by its labels costs more than counting; routes and codes are few.
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def begin(self) -> None:
        """A request is under way until `end`."""
        self._under_way += 1

    def name(self, headers: Mapping[bytes, bytes]) -> bytes:
        """A name for a request: the caller's own where it gave one."""
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given
        return b"%016x" % (next(self._numbers) % (1 << 64))

    def end(self, route: str, method: str, code: int, seconds: float, about: About) -> None:
        """It was answered; `route` is a template, never a path, which holds a task's name."""
        self._under_way -= 1
        if method not in _KNOWN_METHODS:
            method = "other"
        found = self._counted.get((route, method, code))
        if found is None:
            found = self._counted[route, method, code] = (
                self._telemetry.http_requests.labels(route, method, str(code)),
                self._telemetry.http_seconds.labels(route),
            )
        requests, duration = found
        requests.inc()
        duration.observe(seconds, self._noted.ended(route, method, code, seconds, about))


class Observed:
    """ASGI middleware: sets `scope["request_id"]`, echoes it as `X-Request-ID`, and counts."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        self._observer.begin()
        request_id = self._observer.name(dict(scope["headers"]))
        scope["request_id"] = request_id.decode()
        code = 500

        async def send_named(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                # A list of its own: an application may send the same one again and again.
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            found = scope.get("route")
            # The framework's own template says beside a name what may stand for it.
            route: str = getattr(found, "path_format", getattr(found, "path", "unmatched"))
            seconds = perf_counter() - started
            self._observer.end(route, scope["method"], code, seconds, lambda: scope)
