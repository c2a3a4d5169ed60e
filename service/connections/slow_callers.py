"""Ends connections whose caller does not send its request, or take its answer, in time.

uvicorn waits for ever for the rest of a head or a body, and for whoever takes no answer. Costs a
request nothing: all connections are looked at now and then, and none is asked to keep the time.
"""

from collections.abc import Callable, Iterable
from time import monotonic

from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LOOKS = 4
"""So many in the time that a caller has: one who is slow goes at most that part later."""

_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class SlowCallers:
    """Lives on the event loop; `look` is to be called often."""

    def __init__(
        self, seconds: float, counted: Counter, clock: Callable[[], float] = monotonic
    ) -> None:
        self._seconds = seconds
        self._counted = counted
        self._clock = clock
        self._look_at = 0.0
        self._seen: dict[HttpToolsProtocol, tuple[object, float]] = {}

    def look(self, connections: Iterable[HttpToolsProtocol]) -> None:
        """End those that have kept the service waiting too long; nothing where it is too soon."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + self._seconds / _LOOKS
        earlier, self._seen = self._seen, {}
        for connection in list(connections):
            if not _waits_for_caller(connection):
                continue
            # Of every request there is one list: the same one, the same request.
            request = connection.headers
            known, since = earlier.get(connection, (None, now))
            if known is not request:
                since = now
            if now - since >= self._seconds:
                self._end(connection)
            self._seen[connection] = request, since

    def _end(self, connection: HttpToolsProtocol) -> None:
        transport = connection.transport
        self._counted.inc()
        if (
            transport.is_closing()
            or transport.get_write_buffer_size()
            or connection.headers is None
        ):
            transport.abort()
        else:
            transport.write(_TOO_LATE)
            transport.close()


def _waits_for_caller(connection: HttpToolsProtocol) -> bool:
    """Whether what comes next is the caller's to send, or to take."""
    transport, cycle = connection.transport, connection.cycle
    if transport.is_closing() or transport.get_write_buffer_size():
        return True
    if connection.timeout_keep_alive_task is not None or connection.flow.read_paused:
        # Between two requests uvicorn keeps the time, and who may not send is not waited for.
        return False
    return cycle is None or cycle.response_complete or cycle.more_body
