"""Which tasks let another version than the live one answer a share of their requests.

The rows alone decide, so that a request that is repeated has the same answer, on every replica.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask

_DIGESTS = float(1 << 64)
_SALT_BYTES = blake2b.MAX_KEY_SIZE


class ServingCanary(NamedTuple):
    """A version in memory, and its share of the requests."""

    task: RegisteredTask
    share: float

    def takes(self, rows: Rows) -> bool:
        """Whether a request of these rows is of its share."""
        # By the task's name too, or tasks would all try the same requests on their canaries.
        salt = self.task.task_id.encode()[:_SALT_BYTES]
        digest = blake2b(rows.tobytes(), digest_size=8, key=salt).digest()
        return int.from_bytes(digest) < self.share * _DIGESTS


class Canaries:
    """By task; changed and asked on the event loop."""

    def __init__(self) -> None:
        self._by_task: dict[str, ServingCanary] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._by_task))

    def of(self, task_id: str) -> ServingCanary | None:
        """The task's canary."""
        return self._by_task.get(task_id)

    def put(self, task_id: str, canary: ServingCanary | None) -> ServingCanary | None:
        """Set or end a task's canary; the one before."""
        before = self._by_task.pop(task_id, None)
        if canary is not None:
            self._by_task[task_id] = canary
        return before

    def choose(self, live: RegisteredTask, rows: Rows) -> RegisteredTask:
        """The version that answers these rows where the task alone was named."""
        if not self._by_task:
            return live
        canary = self._by_task.get(live.task_id)
        return canary.task if canary is not None and canary.takes(rows) else live
