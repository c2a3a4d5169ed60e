"""All tasks that can be predicted with, written through to the store and caught up with it.

The store is the truth: whoever changes it, `catch_up` leaves here what one who loads it now has.
"""

import asyncio
import logging
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from itertools import islice
from typing import TypeVar

from model_store.artifact_layout import LaidOut
from model_store.errors import CorruptStore, StoreError
from model_store.store import Store
from model_store.store_changes import Change, StoreChanges
from model_store.task_artifact import TaskArtifact, checked_task_name, parse_artifact
from model_store.task_record import TaskRecord
from service.engine.live_tasks import LiveTasks, Taken
from service.engine.task_table import RegisteredTask, TaskTable
from service.errors import StoreUnavailable
from service.telemetry import Telemetry

_SLICE = 256
"""Tasks that others changed, made live in one go, so that the event loop goes on in between."""

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class TaskRegistry:
    """Lives on the event loop; disk and table are touched on `executor`'s one thread.

    `told` is called after each change that is made here, `dropped` with the content hash of each
    version that serves no longer, `changed` with the live tasks whenever they are others.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        telemetry: Telemetry,
        told: Callable[[], None] = lambda: None,
        dropped: Callable[[str], None] = lambda _: None,
        changed: Callable[[LiveTasks], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._executor = executor
        self._told = told
        self._asked_for = telemetry.task_changes
        self._table = TaskTable()
        self._live = LiveTasks(telemetry, dropped, changed)
        self._changes = StoreChanges(store, self._live)
        self._change = asyncio.Lock()

    def load_all(self) -> None:
        """Read every task of the store; what is damaged is told of and left out. Blocks."""
        changes = self._changes.since_last(thorough=False)
        while taken := self._taken(changes):
            self._live.take(taken)
        self._live.take_unreadable(self._store.unreadable())

    async def catch_up(self, thorough: bool) -> int:
        """Take over what others changed in the store, one task at a time; how many changed.

        `thorough` finds damage too, and files that were replaced. Raises `StoreUnavailable`; what
        was taken over until then stays.
        """
        return await asyncio.shield(self._catch_up(thorough))

    def __len__(self) -> int:
        return len(self._live)

    @property
    def version(self) -> int:
        """The same number on every replica that serves the same versions of the same tasks."""
        return self._live.version

    @property
    def damaged(self) -> dict[str, str]:
        """What of the store cannot serve, by its task or by where it lies, and why."""
        return self._live.damaged

    @property
    def left_out(self) -> dict[str, str]:
        """Tasks of the store that cannot serve, and why."""
        return self._live.left_out

    def get(self, task_id: str) -> RegisteredTask:
        """The live task of that name. Raises `UnknownTask`."""
        return self._live.get(task_id)

    def snapshot(self) -> tuple[RegisteredTask, ...]:
        """All live tasks in order of their names; the same object until a task changes."""
        return self._live.snapshot()

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
        def stored(artifact: TaskArtifact) -> tuple[RegisteredTask, bool]:
            created = self._store.publish(task_id, artifact)
            return self._table.add(task_id, self._changes.laid_out(artifact)), created

        artifact = await self._off_loop(lambda: parse_artifact(data))
        async with self._change:
            registered, created = await self._off_loop(lambda: stored(artifact))
            self._live.take([(task_id, registered)])
        self._tell("published" if created else "replaced", task_id, registered.version)
        return registered, created

    async def _delete(self, task_id: str) -> None:
        async with self._change:
            await self._off_loop(lambda: self._store.delete(task_id))
            version = self._live.version_of(task_id)
            self._live.take([(task_id, None)])
        self._tell("deleted", task_id, version)

    def _tell(self, change: str, task_id: str, version: str | None) -> None:
        self._asked_for.labels(change).inc()
        _log.info("task %s", change, extra={"task": task_id, "version": version})
        self._told()

    async def _catch_up(self, thorough: bool) -> int:
        async with self._change:
            changes, count = self._changes.since_last(thorough), 0
            while taken := await self._off_loop(lambda: self._taken(changes), quietly=True):
                count += self._live.take(taken)
            self._live.take_unreadable(await self._off_loop(self._store.unreadable))
        return count

    def _taken(self, changes: Generator[Change, None, None]) -> list[Taken]:
        try:
            return [
                (task_id, self._table.add(task_id, one) if isinstance(one, LaidOut) else one)
                for task_id, one in islice(changes, _SLICE)
            ]
        except BaseException:
            changes.close()
            raise

    async def _off_loop(self, work: Callable[[], Result], quietly: bool = False) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (OSError, CorruptStore) as error:
            if not quietly:
                _log.error("the store cannot be used: %s", error)
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreUnavailable(f"the store cannot be used now: {why}") from error
