"""All tasks that can be predicted with, written through to the store and caught up with it.

The store is the truth: whoever changes it, `catch_up` leaves here what one who loads it now has.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from model_store.entry_names import CANARY, beside_entry
from model_store.errors import StoreError
from model_store.store import Store
from model_store.store_changes import StoreChanges
from model_store.store_versions import Accept
from model_store.task_artifact import TaskArtifact, artifact_parts
from model_store.task_names import TENANT_MARK, checked_stored_name
from model_store.task_record import TaskRecord
from service.engine.registry.entries import Rows
from service.engine.registry.examination import Examination, Parts
from service.engine.registry.live_tasks import LiveTasks
from service.engine.registry.shared_arrays import SharedArrays
from service.engine.registry.store_thread import StoreThread
from service.engine.registry.taking_over import TakingOver
from service.engine.registry.task_table import RegisteredTask, TaskTable
from service.engine.registry.version_registry import VersionRegistry
from service.engine.registry.visible_tasks import VisibleTasks
from service.watching.telemetry import Telemetry

_SLICE = 256
"""Tasks that others changed, made live in one go, so that the event loop goes on in between."""

_log = logging.getLogger(__name__)

Accepts = Callable[[str | None, str], None]
"""As `Accept`, told besides which version is to come."""


def _take_all(current: str | None, wanted: str | None = None) -> None:
    """Whatever is current."""


class TaskRegistry:
    """Lives on the event loop; disk and table are touched on `executor`'s one thread.

    Names are the store's, with tenants; clients' names are for `visible`. `told` is called after
    each change that is made here, `dropped` with the content hash of each version that serves no
    longer, `changed` with the live tasks whenever they are others. Tensors that `load_all` finds
    are put into `shared`.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        telemetry: Telemetry,
        told: Callable[[], None] = lambda: None,
        dropped: Callable[[str], None] = lambda _: None,
        changed: Callable[[LiveTasks], None] = lambda _: None,
        shared: SharedArrays | None = None,
    ) -> None:
        self._store = store
        self._thread = StoreThread(executor)
        self._told = told
        self._asked_for = telemetry.task_changes
        self._table = TaskTable(shared)
        self._live = LiveTasks(telemetry, dropped, changed)
        self.visible = VisibleTasks(self._live)
        self._changes = StoreChanges(store, self._live)
        self._taking_over = TakingOver(self._changes, self._table)
        self.examination = Examination(store.network, self._thread)
        self.versions = VersionRegistry(
            store,
            self._thread,
            self._table,
            self._live,
            self._changes,
            self._taking_over,
            self._tell,
        )

    def load_all(self) -> None:
        """Read every task of the store; what is damaged is told of and left out. Blocks."""
        changes = self._changes.since_last(thorough=False)
        with self._table.filling():
            while taken := self._taking_over.some(changes, _SLICE):
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

    def version_of(self, tenant: str | None, name: str) -> str | None:
        """The content hash of a tenant's own task, or a shared one; None where none serves."""
        return self._live.version_of(name if tenant is None else f"{tenant}{TENANT_MARK}{name}")

    def get(self, task_id: str) -> RegisteredTask:
        """The live task of that name. Raises `UnknownTask`."""
        return self._live.get(task_id)

    def choose(self, task_id: str, rows: Rows) -> RegisteredTask:
        """The version that answers rows of that task: the live one, or its canary.

        Raises `UnknownTask`.
        """
        return self._live.canaries.choose(self._live.get(task_id), rows)

    def snapshot(self) -> tuple[RegisteredTask, ...]:
        """All live tasks in order of their names; the same object until a task changes."""
        return self._live.snapshot()

    async def record(self, task: RegisteredTask) -> TaskRecord | None:
        """What the task's artifact says of itself; None where the store has that one no more."""
        version = task.version
        try:
            found = await self._thread.run(lambda: self._store.load_version(task.task_id, version))
        except StoreError as error:
            _log.warning("task %s: its record cannot be read: %s", task.task_id, error)
            return None
        return found.record

    async def publish(
        self, task_id: str, data: bytes | Parts | TaskArtifact, accept: Accepts = _take_all
    ) -> tuple[RegisteredTask, bool]:
        """Check an uploaded artifact, store it, and make it live; True where the task is new.

        When this returns the task survives a restart; where the artifact is live nothing is done.
        Raises what `Store.publish_if` and reading it raise, and changes nothing then.
        """
        read = partial(artifact_parts, data) if isinstance(data, bytes) else data
        return await asyncio.shield(self._publish(checked_stored_name(task_id), read, accept))

    async def delete(self, task_id: str, accept: Accept = _take_all) -> None:
        """Forget a task, in memory and on disk. Raises `UnknownTask`, and what `accept` does."""
        await asyncio.shield(self._delete(task_id, accept))

    async def _publish(
        self, task_id: str, data: Parts | TaskArtifact, accept: Accepts
    ) -> tuple[RegisteredTask, bool]:
        def read() -> TaskArtifact:
            return data if isinstance(data, TaskArtifact) else data().whole()

        def stored() -> tuple[RegisteredTask | None, str | None]:
            before = self._store.versions.publish(
                task_id, artifact, lambda current: accept(current, artifact.content_hash)
            )
            if self._live.version_of(task_id) == before == artifact.content_hash:
                return None, before
            return self._table.add(task_id, self._changes.laid_out(artifact)), before

        artifact = await self._thread.run(read)
        async with self._thread.change:
            registered, before = await self._thread.run(stored)
            if registered is None:
                # Where the store's was damaged this mended it, which others want to know.
                self._told()
                return self._live.get(task_id), False
            self._live.take([(task_id, registered)])
        if before != registered.version:
            change = "published" if before is None else "replaced"
            self._tell(change, task_id, registered.version)
        return registered, before is None

    async def _delete(self, task_id: str, accept: Accept) -> None:
        async with self._thread.change:
            await self._thread.run(lambda: self._store.delete(task_id, accept))
            version = self._live.version_of(task_id)
            self._live.take([(task_id, None), (beside_entry(task_id, CANARY), None)])
        self._tell("deleted", task_id, version)

    def _tell(self, change: str, task_id: str, version: str | None) -> None:
        self._asked_for.labels(change).inc()
        _log.info("task %s", change, extra={"task": task_id, "version": version})
        self._told()

    async def _catch_up(self, thorough: bool) -> int:
        async with self._thread.change:
            changes, count = self._changes.since_last(thorough), 0
            while taken := await self._thread.run(
                lambda: self._taking_over.some(changes, _SLICE), quietly=True
            ):
                count += self._live.take(taken)
            self._live.take_unreadable(await self._thread.run(self._store.unreadable))
        return count
