"""uvicorn with a pause before it stops, so that a load balancer notices before requests fail.

It may listen on a second port. With `on_hangup` SIGHUP calls that, and ends nothing.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.connections.slow_callers import SlowCallers
from service.readiness import Readiness


class DrainingServer(uvicorn.Server):
    """On SIGTERM: not ready at once, still serving for `drain_seconds`, then uvicorn's own end."""

    def __init__(
        self,
        config: uvicorn.Config,
        readiness: Readiness,
        drain_seconds: float,
        slow_callers: SlowCallers,
        on_hangup: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._slow_callers = slow_callers
        self._readiness = readiness
        self._drain_seconds = drain_seconds
        self._on_hangup = on_hangup

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        if self._on_hangup is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal, or Ctrl-C, ends at once."""
        if sig != signal.SIGTERM:
            self._readiness.draining = True
            super().handle_exit(sig, frame)
        elif self._drain_seconds and not self._readiness.draining:
            self._readiness.draining = True
            loop = asyncio.get_running_loop()
            # Threadsafe: a signal arrives while the loop sleeps, and it must wake for the timer.
            loop.call_soon_threadsafe(loop.call_later, self._drain_seconds, self._end)
        else:
            self._readiness.draining = True
            self._end()

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second."""
        # All protocols of uvicorn that this service is ever given are of this one.
        connections = cast(set[HttpToolsProtocol], self.server_state.connections)
        self._slow_callers.look(connections)
        return await super().on_tick(counter)

    def _end(self) -> None:
        # uvicorn would die of the signal in the end, as if it had not ended as it was asked to.
        self.should_exit = True


def sockets_of(config: uvicorn.Config, other_port: int | None) -> list[socket.socket] | None:
    """Of both ports, where there are two, not yet listened on; None leaves the one to uvicorn."""
    if other_port is None:
        return None
    other = uvicorn.Config(config.app, host=config.host, port=other_port, log_config=None)
    return [config.bind_socket(), other.bind_socket()]
