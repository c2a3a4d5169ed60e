"""The tasks that serve, and what of the store cannot, by name. Knows no disk.

Each task changes at once: whoever asks gets its earlier version or the new one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from model_store.errors import StoreError, UnknownTask
from service.engine.task_table import RegisteredTask
from service.telemetry import Telemetry

_VERSION_BYTES = 6
"""So that a metric, which is a double, holds it exactly."""

_log = logging.getLogger(__name__)

Taken = tuple[str, RegisteredTask | StoreError | None]
"""A task with what serves it now, why nothing does, or None: there is no such task any more."""


class LiveTasks:
    """Changed on the event loop; `dropped` gets the content hash of what serves no longer.

    `changed` is called with the tasks themselves after each change.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        dropped: Callable[[str], None],
        changed: Callable[["LiveTasks"], None],
    ) -> None:
        self._telemetry = telemetry
        self._dropped = dropped
        self._changed = changed
        self._tasks: dict[str, RegisteredTask] = {}
        self._left_out: dict[str, str] = {}
        self._unreadable: Mapping[str, str] = {}
        self._snapshot: tuple[RegisteredTask, ...] | None = None
        self._version = 0

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def version(self) -> int:
        """The same number wherever the same versions of the same tasks serve."""
        return self._version

    @property
    def damaged(self) -> dict[str, str]:
        """What cannot serve, by its task or by where it lies, and why."""
        return {**self._left_out, **self._unreadable}

    @property
    def left_out(self) -> dict[str, str]:
        """Tasks that cannot serve, and why."""
        return dict(self._left_out)

    def names(self) -> tuple[str, ...]:
        """Of all tasks, those that are left out included."""
        return (*self._tasks, *self._left_out)

    def version_of(self, task_id: str) -> str | None:
        """The content hash of a task that serves."""
        task = self._tasks.get(task_id)
        return None if task is None else task.version

    def get(self, task_id: str) -> RegisteredTask:
        """The task of that name. Raises `UnknownTask`."""
        try:
            return self._tasks[task_id]
        except KeyError:
            raise UnknownTask(f"no task {task_id[:160]!r}") from None

    def snapshot(self) -> tuple[RegisteredTask, ...]:
        """All tasks in order of their names; the same object until one changes."""
        if self._snapshot is None:
            self._snapshot = tuple(self._tasks[task_id] for task_id in sorted(self._tasks))
        return self._snapshot

    def take(self, changes: Sequence[Taken]) -> int:
        """Make changes live; how many tasks are not as they were."""
        count = sum([self._take(*change) for change in changes])
        if changes:
            self._snapshot = None
            self._changed(self)
        self._tell()
        return count

    def take_unreadable(self, unreadable: Mapping[str, str]) -> None:
        """What is damaged beyond a task's name: where, and what is wrong."""
        for where, problem in unreadable.items():
            if where not in self._unreadable:
                _log.error("%s: %s", where, problem)
        self._unreadable = unreadable
        self._tell()

    def _take(self, task_id: str, found: RegisteredTask | StoreError | None) -> bool:
        before = self._tasks.get(task_id)
        was_left_out = self._left_out.pop(task_id, None)
        if isinstance(found, RegisteredTask):
            self._tasks[task_id] = found
            self._version += _mark(found)
        elif before is not None:
            del self._tasks[task_id]
        if before is not None:
            self._version -= _mark(before)
            if self.version_of(task_id) != before.version:
                self._dropped(before.version)
        if isinstance(found, StoreError):
            self._left_out[task_id] = str(found)
            if str(found) == was_left_out:
                return False
            _log.error("task %s is left out: %s", task_id, found)
        self._version %= 1 << 8 * _VERSION_BYTES
        return any(one is not None for one in (before, was_left_out, found))

    def _tell(self) -> None:
        self._telemetry.tasks_registered.set(len(self._tasks))
        self._telemetry.tasks_damaged.set(len(self._left_out) + len(self._unreadable))
        self._telemetry.following.registry_version.set(self._version)


def _mark(task: RegisteredTask) -> int:
    said = f"{task.task_id} {task.version}".encode()
    return int.from_bytes(blake2b(said, digest_size=_VERSION_BYTES).digest())
