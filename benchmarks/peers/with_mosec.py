"""mosec: its HTTP server is in Rust, its worker a process.

`PEERS_BATCH` is how many requests the worker takes at once. 1 is what mosec does by itself; with 32
it computes rows of one task together.
"""

import os
from typing import Any

from mosec import Server, Worker

from benchmarks.peers.lenet import ManyTasks

_BATCH = int(os.environ["PEERS_BATCH"])
_WAIT_MS = 1


class Rows(Worker):
    """Names and rows in one body, since a worker sees nothing else of a request."""

    resp_mime_type = "application/octet-stream"

    def __init__(self) -> None:
        super().__init__()
        self._tasks = ManyTasks()

    def deserialize(self, data: bytes) -> bytes:
        return data

    def serialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: Any) -> Any:
        """One body, or a list of them where batches are allowed."""
        return self._tasks.answers([data])[0] if _BATCH == 1 else self._tasks.answers(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Rows, num=1, max_batch_size=_BATCH, max_wait_time=_WAIT_MS, route="/predict"
    )
    server.run()
