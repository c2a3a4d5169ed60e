"""What a connection took is free as soon as its caller is gone, however that went."""

import asyncio
import socket
import struct
import weakref

import pytest

from model_store.store import Store
from tests.service.connections.test_direct_protocol import OCTETS, RAW, ROW, Connection, served

pytestmark = pytest.mark.anyio


def reset(connection: Connection) -> None:
    """Go without the orderly end: what is on its way is thrown away."""
    own = connection.writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.writer.transport.abort()


@pytest.mark.parametrize("way", ["direct", "ordinary"])
@pytest.mark.parametrize("end", ["closed", "reset"])
async def test_nothing_holds_the_connection_of_a_caller_who_is_gone(
    store: Store, way: str, end: str
) -> None:
    async with served(store, keep_alive_seconds=3600) as service:
        connection = await service.connection(way)
        status, _, _ = await connection.ask("/v1/predict?task=task-0", ROW, OCTETS, RAW)
        (there,) = service.state.connections
        timer, kept = there.timeout_keep_alive_task, weakref.ref(there)  # type: ignore[union-attr]
        assert timer is not None
        assert (status, timer.cancelled()) == (200, False)
        del there
        if end == "reset":
            reset(connection)
        else:
            connection.writer.close()
        async with asyncio.timeout(10):
            while service.state.connections:  # noqa: ASYNC110 uvicorn has no event for it
                await asyncio.sleep(0.01)
        assert timer.cancelled()
        assert way == "ordinary" or kept() is None
