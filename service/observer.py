"""ASGI middleware that names each request and counts it. Plain ASGI: it costs next to nothing."""

import re
import secrets
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry import Telemetry

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Observer:
    """Sets `scope["request_id"]`, echoes it as `X-Request-ID`, and feeds the HTTP metrics."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope["request_id"] = request_id
        code = 500

        async def send_named(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        started = perf_counter()
        self._telemetry.in_flight.inc()
        try:
            await self._app(scope, receive, send_named)
        finally:
            self._telemetry.in_flight.dec()
            # The route's template, never the path: a path holds a task's name.
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _KNOWN_METHODS else "other"
            self._telemetry.http_requests.labels(route, method, str(code)).inc()
            self._telemetry.http_seconds.labels(route).observe(perf_counter() - started)
