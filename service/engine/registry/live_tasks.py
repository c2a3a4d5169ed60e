"""The tasks that serve, and what of the store cannot, by name. Knows no disk.

Each task changes at once: whoever asks gets its earlier version or the new one.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from model_store.entry_names import CANARY, beside_entry, is_task, parted
from model_store.errors import StoreError, UnknownTask
from model_store.task_names import name_for_clients, parted_name
from service.engine.registry.canaries import Canaries, ServingCanary
from service.engine.registry.held_versions import HeldVersions
from service.engine.registry.task_table import RegisteredTask
from service.watching.telemetry import Telemetry

_VERSION_BYTES = 6
"""So that a metric, which is a double, holds it exactly."""

_log = logging.getLogger(__name__)

Taken = tuple[str, RegisteredTask | ServingCanary | StoreError | None]
"""A task with what serves it now, why nothing does, or None: there is no such task any more.

So too a canary by its entry's name, and a version that is gone.
"""


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
        self.canaries = Canaries()
        self.held = HeldVersions()
        self._unreadable: Mapping[str, str] = {}
        self._of_tenant: Counter[str | None] = Counter()
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
        """Of all tasks, those that are left out included, and of what is kept beside them."""
        canaries = (beside_entry(task_id, CANARY) for task_id in self.canaries)
        return (*self._tasks, *self._left_out, *canaries, *self.held.names())

    def beside(self, task_id: str) -> int:
        """How many other tasks its tenant has, those that are left out too; of a shared one's."""
        return self._of_tenant[parted_name(task_id)[0]] - self._has(task_id)

    def version_of(self, task_id: str) -> str | None:
        """The content hash of a task that serves."""
        task = self._tasks.get(task_id)
        return None if task is None else task.version

    def find(self, task_id: str) -> RegisteredTask | None:
        """The task of that name, where it serves."""
        return self._tasks.get(task_id)

    def cannot_serve(self, task_id: str) -> bool:
        """Whether the store has a task of that name which is left out."""
        return task_id in self._left_out

    def get(self, task_id: str) -> RegisteredTask:
        """The task of that name. Raises `UnknownTask`."""
        try:
            return self._tasks[task_id]
        except KeyError:
            raise UnknownTask(f"no task {name_for_clients(task_id)[:160]!r}") from None

    def snapshot(self) -> tuple[RegisteredTask, ...]:
        """All tasks in order of their names; the same object until one changes."""
        if self._snapshot is None:
            self._snapshot = tuple(self._tasks[task_id] for task_id in sorted(self._tasks))
        return self._snapshot

    def hold(self, version: RegisteredTask) -> None:
        """Hold a version that is not live; another is let go where they are too many."""
        let_go = self.held.put(beside_entry(version.task_id, version.version), version)
        if let_go is not None:
            self._dropped(let_go.version)

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

    def _take(self, name: str, found: RegisteredTask | ServingCanary | StoreError | None) -> bool:
        had = self._has(name)
        if is_task(name):
            task = found if isinstance(found, RegisteredTask) else None
            changed = self._serve(name, task)
        else:
            task_id, beside = parted(name)
            canary = found if isinstance(found, ServingCanary) else None
            changed = beside == CANARY and self._try(task_id, canary)
            if beside != CANARY and (held := self.held.drop(name)) is not None:
                self._dropped(held.version)
        was_left_out = self._left_out.pop(name, None)
        if isinstance(found, StoreError):
            self._left_out[name] = str(found)
        if is_task(name):
            self._of_tenant[parted_name(name)[0]] += self._has(name) - had
        if isinstance(found, StoreError):
            if self._left_out[name] == was_left_out:
                return False
            _log.error("task %s is left out: %s", name, found)
        return changed or isinstance(found, StoreError) or was_left_out is not None

    def _has(self, name: str) -> bool:
        return name in self._tasks or name in self._left_out

    def _serve(self, task_id: str, task: RegisteredTask | None) -> bool:
        before = self._tasks.get(task_id)
        if task is not None:
            self._tasks[task_id] = task
            self._count(_mark(task_id, task.version))
        elif before is not None:
            del self._tasks[task_id]
            self.held.drop_task(task_id)
        if before is not None:
            before.retired = before is not task
            self._count(-_mark(task_id, before.version))
            if self.version_of(task_id) != before.version:
                self._dropped(before.version)
        return before is not None or task is not None

    def _try(self, task_id: str, canary: ServingCanary | None) -> bool:
        before = self.canaries.put(task_id, canary)
        for one, sign in ((before, -1), (canary, 1)):
            if one is not None:
                said = f"{one.task.version} {one.share}"
                self._count(sign * _mark(beside_entry(task_id, CANARY), said))
        return before != canary

    def _count(self, mark: int) -> None:
        self._version = (self._version + mark) % (1 << 8 * _VERSION_BYTES)

    def _tell(self) -> None:
        self._telemetry.tasks_registered.set(len(self._tasks))
        self._telemetry.tasks_damaged.set(len(self._left_out) + len(self._unreadable))
        self._telemetry.following.registry_version.set(self._version)


def _mark(name: str, version: str) -> int:
    said = f"{name} {version}".encode()
    return int.from_bytes(blake2b(said, digest_size=_VERSION_BYTES).digest())
