"""All tasks that can be predicted with, in memory, written through to the store."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from model_store.errors import CorruptStore, StoreError, UnknownTask
from model_store.store import Store
from model_store.task_artifact import checked_task_name, parse_artifact
from model_store.task_record import TaskRecord
from service.engine.task_table import RegisteredTask, TaskTable
from service.errors import StoreUnavailable
from service.telemetry import Telemetry

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class TaskRegistry:
    """Lives on the event loop; disk is touched on `executor`, one change at a time."""

    def __init__(self, store: Store, executor: Executor, telemetry: Telemetry) -> None:
        self._store = store
        self._executor = executor
        self._telemetry = telemetry
        self._table = TaskTable()
        self._tasks: dict[str, RegisteredTask] = {}
        self._snapshot: tuple[RegisteredTask, ...] | None = None
        self._change = asyncio.Lock()
        self.damaged: dict[str, str] = {}

    def load_all(self) -> None:
        """Read every task of the store; what is damaged is told of and left out. Blocks."""
        while True:
            try:
                self._load_all()
            except FileNotFoundError:
                _log.info("the store was compacted meanwhile: reading it again")
            else:
                break
        for where, problem in self._store.unreadable().items():
            self.damaged[where] = problem
            _log.error("%s: %s", where, problem)
        self._changed()

    def _load_all(self) -> None:
        self._tasks.clear()
        self.damaged.clear()
        for task_id, found in self._store.all_laid_out():
            if isinstance(found, StoreError):
                self.damaged[task_id] = str(found)
                _log.error("task %s is left out: %s", task_id, found)
            else:
                self._tasks[task_id] = self._table.add(task_id, found)

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, task_id: str) -> RegisteredTask:
        """The live task of that name. Raises `UnknownTask`."""
        try:
            return self._tasks[task_id]
        except KeyError:
            raise UnknownTask(f"no task {task_id[:160]!r}") from None

    def snapshot(self) -> tuple[RegisteredTask, ...]:
        """All live tasks in order of their names; the same object until a task changes."""
        if self._snapshot is None:
            self._snapshot = tuple(self._tasks[task_id] for task_id in sorted(self._tasks))
        return self._snapshot

    async def record(self, task: RegisteredTask) -> TaskRecord | None:
        """What the task's artifact says of itself; None where the store has that one no more."""
        version = task.version
        try:
            found = await self._off_loop(lambda: self._store.load_version(task.task_id, version))
        except StoreError as error:
            _log.warning("task %s: its record cannot be read: %s", task.task_id, error)
            return None
        return found.record

    async def publish(self, task_id: str, data: bytes) -> tuple[RegisteredTask, bool]:
        """Check an uploaded artifact, store it, and make it live; True where the task is new.

        When this returns the task survives a restart. Raises what `Store.publish` and
        `parse_artifact` raise, and changes nothing then.
        """
        return await asyncio.shield(self._publish(checked_task_name(task_id), data))

    async def delete(self, task_id: str) -> None:
        """Forget a task, in memory and on disk. Raises `UnknownTask`."""
        await asyncio.shield(self._delete(task_id))

    async def _publish(self, task_id: str, data: bytes) -> tuple[RegisteredTask, bool]:
        artifact = await self._off_loop(lambda: parse_artifact(data))
        async with self._change:
            created = await self._off_loop(lambda: self._store.publish(task_id, artifact))
            registered = self._table.add(task_id, self._store.laid_out(artifact))
            self._tasks[task_id] = registered
            self.damaged.pop(task_id, None)
            self._changed()
        return registered, created

    async def _delete(self, task_id: str) -> None:
        async with self._change:
            self.get(task_id)
            await self._off_loop(lambda: self._store.delete(task_id))
            del self._tasks[task_id]
            self._changed()

    async def _off_loop(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (OSError, CorruptStore) as error:
            _log.error("the store cannot be used: %s", error)
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreUnavailable(f"the store cannot be used now: {why}") from error

    def _changed(self) -> None:
        self._snapshot = None
        self._telemetry.tasks_registered.set(len(self._tasks))
        self._telemetry.tasks_damaged.set(len(self.damaged))
