"""An HTTP protocol for uvicorn, which gives small raw requests to `DirectAnswers` without ASGI.

A task, an ASGI scope and its messages cost such a request more than its prediction does. Whatever
is not taken there goes the ordinary way, and so does a request behind another one of the same
connection.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.connections.bounded_protocol import BoundedProtocol
from service.connections.direct_answers import DirectAnswers, DirectCall, Headers, Lines, Target


class _Exchange(DirectCall):
    """A request and its answer on a connection; as its `cycle` it says what uvicorn asks of one."""

    __slots__ = ("_protocol", "keep_alive", "parts")

    def __init__(
        self, direct: DirectAnswers, target: Target, headers: Headers, protocol: "DirectProtocol"
    ) -> None:
        super().__init__(direct, target, headers)
        self._protocol = protocol
        self.keep_alive: bool = protocol.parser.should_keep_alive()
        self.parts: list[bytes] = []

    @property
    def response_complete(self) -> bool:
        return self.over

    @property
    def more_body(self) -> bool:
        return self._protocol.reading is self

    def reply(self, code: int, body: bytes, lines: Lines) -> None:
        self._protocol.reply(code, body, lines, self.keep_alive)


class DirectProtocol(BoundedProtocol):
    """One connection."""

    def __init__(self, direct: DirectAnswers, **given: Any) -> None:
        super().__init__(**given)
        self._direct = direct
        self.reading: _Exchange | None = None
        self._waiting: _Exchange | None = None
        self._last: tuple[list[tuple[bytes, bytes]], Headers | None] = [], None
        """The last request's headers, and the same by name where they are wanted here."""
        self._default_lines: tuple[object, bytes] = None, b""

    def on_message_begin(self) -> None:
        """A request begins."""
        # As uvicorn's own, but for the ASGI scope, which is made where it is needed.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Its head is there."""
        exchange = self._offered()
        if exchange is None:
            self._begin_the_ordinary_way()
        else:
            self.reading = exchange
            self.cycle = exchange  # type: ignore[assignment]
            if self._direct.predictor.is_crowded:
                exchange.look(self._peer)

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        if self.reading is None:
            super().on_body(body)
        elif self.reading.refusal is None:
            self.reading.parts.append(body)

    def on_message_complete(self) -> None:
        """All of it."""
        exchange, self.reading = self.reading, None
        if exchange is None:
            super().on_message_complete()
            return
        body = exchange.parts[0] if len(exchange.parts) == 1 else b"".join(exchange.parts)
        self._waiting = exchange
        if not exchange.begin(body, self._peer):
            self._waiting = None
            self.cycle = None  # type: ignore[assignment]
            self._begin_the_ordinary_way()
            self.cycle.keep_alive &= exchange.keep_alive
            super().on_body(body)
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone, or was sent away."""
        self.reading = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.leave()
        if isinstance(self.cycle, _Exchange):
            self.cycle = None  # type: ignore[assignment]
        super().connection_lost(exc)

    def reply(self, code: int, body: bytes, lines: Lines, keep_alive: bool) -> None:
        """Answer the request that waits."""
        self._waiting = None
        parts = [STATUS_LINE[code], self._lines_of_every_answer()]
        for name, value in lines:
            parts += (name, b": ", value, b"\r\n")
        if not keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"content-length: %d\r\n\r\n" % len(body), body)
        self.transport.write(b"".join(parts))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    @property
    def _peer(self) -> str:
        return self.client[0] if self.client else ""

    def _offered(self) -> _Exchange | None:
        if (
            (self.cycle is not None and not self.cycle.response_complete)
            or self.limit_concurrency is not None
            # Who takes no answers gets no more of them: the ordinary way waits, and reads no more.
            or self.flow.write_paused
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
        ):
            return None
        # Most connections ask in the same way again and again.
        if self._last[0] != self.headers:
            headers = dict(self.headers)
            # Where one is sent twice, what that means is not for here to say.
            alone = len(headers) == len(self.headers)
            self._last = self.headers, headers if alone and self._direct.wants(headers) else None
        _, wanted = self._last
        if wanted is None or (target := self._direct.target(self.url)) is None:
            return None
        return _Exchange(self._direct, target, wanted, self)

    def _begin_the_ordinary_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def _lines_of_every_answer(self) -> bytes:
        # uvicorn makes them anew each second, for the date.
        default, (of, lines) = self.server_state.default_headers, self._default_lines
        if of is not default:
            lines = b"".join(b"%b: %b\r\n" % line for line in default)
            self._default_lines = default, lines
        return lines
