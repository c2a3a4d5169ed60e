"""uvicorn's HTTP protocol, which reads no further while requests of a connection wait in line.

uvicorn's own reads on whenever one of them is answered, so that a caller who sends many at once
without end fills the memory. And a connection that was reset it keeps as long as an idle one.
"""

from asyncio import BaseTransport, Transport
from collections.abc import Sized
from typing import cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _InOrder(FlowControl):
    """Reads on only where nothing is in line."""

    def __init__(self, transport: Transport, line: Sized) -> None:
        super().__init__(transport)
        self._line = line

    def resume_reading(self) -> None:
        # Whose body is not whole yet is the last in line, and out of it once it is begun.
        if self.read_paused and not self._line:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: BaseTransport) -> None:
        """It is there."""
        super().connection_made(cast(Transport, transport))
        self.flow = _InOrder(self.transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, and so is what would have ended it for being idle."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
