"""A task's versions by their content hash, and which of them answers: written through to the store.

A version that is not live is read when it is named, and held within a bound.
"""

import asyncio
from collections.abc import Callable

from model_store.canary import Canary
from model_store.entry_names import CANARY, beside_entry, is_version
from model_store.errors import (
    CorruptArtifact,
    IncompatibleBackbone,
    InvalidArtifact,
    UnknownTask,
)
from model_store.store import Store
from model_store.store_changes import StoreChanges
from model_store.task_artifact import TaskArtifact
from model_store.task_names import name_for_clients
from service.engine.registry.canaries import ServingCanary
from service.engine.registry.live_tasks import LiveTasks
from service.engine.registry.store_thread import StoreThread
from service.engine.registry.taking_over import TakingOver
from service.engine.registry.task_table import RegisteredTask, TaskTable

Tell = Callable[[str, str, str | None], None]
"""Of a change: its kind, the task and the version."""

_CANNOT_SERVE = (CorruptArtifact, InvalidArtifact, IncompatibleBackbone)


class VersionRegistry:
    """On the parts that `TaskRegistry` has; lives on the event loop."""

    def __init__(
        self,
        store: Store,
        thread: StoreThread,
        table: TaskTable,
        live: LiveTasks,
        changes: StoreChanges,
        taking_over: TakingOver,
        tell: Tell,
    ) -> None:
        self._store = store
        self._thread = thread
        self._table = table
        self._live = live
        self._changes = changes
        self._taking_over = taking_over
        self._tell = tell

    def at_hand(self, task_id: str, version: str) -> RegisteredTask | None:
        """A version that is in memory. Raises `UnknownTask` where no such version can be."""
        live = self._live.get(task_id)
        if version == live.version:
            return live
        if not is_version(version):
            raise self._unknown(task_id, version)
        canary = self._live.canaries.of(task_id)
        if canary is not None and version == canary.task.version:
            return canary.task
        return self._live.held.get(beside_entry(task_id, version))

    async def get(self, task_id: str, version: str) -> RegisteredTask:
        """A version, from the store where need be. Raises `UnknownTask` or `StoreUnavailable`."""
        found = self.at_hand(task_id, version)
        return found if found is not None else await asyncio.shield(self._read(task_id, version))

    async def of(self, task_id: str) -> list[str]:
        """A task's versions, the live one last. Raises `UnknownTask` or `StoreUnavailable`."""
        self._live.get(task_id)
        return await self._thread.run(lambda: self._store.versions.of(task_id))

    async def artifact(self, task_id: str, version: str) -> TaskArtifact:
        """A version as it was uploaded. Raises `UnknownTask` or `StoreUnavailable`."""
        try:
            return await self._thread.run(lambda: self._store.load_version(task_id, version))
        except _CANNOT_SERVE as error:
            raise UnknownTask(f"version {version[:80]} is damaged: {error}") from error

    async def add(self, task_id: str, artifact: TaskArtifact) -> bool:
        """Keep a version that does not answer yet; True where it is new. Raises `UnknownTask`."""

        async def add() -> bool:
            async with self._thread.change:
                added = await self._thread.run(lambda: self._store.versions.add(task_id, artifact))
            if added:
                self._tell("version added", task_id, artifact.content_hash)
            return added

        return await asyncio.shield(add())

    async def delete(self, task_id: str, version: str) -> None:
        """Drop a version for good. Raises `UnknownTask`, or `VersionInUse` where it answers."""

        async def delete() -> None:
            async with self._thread.change:
                await self._thread.run(lambda: self._store.versions.delete(task_id, version))
                self._live.take([(beside_entry(task_id, version), None)])
            self._tell("version deleted", task_id, version)

        await asyncio.shield(delete())

    def canary(self, task_id: str) -> ServingCanary | None:
        """The task's canary, as it serves here."""
        return self._live.canaries.of(task_id)

    async def set_canary(self, task_id: str, canary: Canary | None) -> None:
        """Let a version answer a share of the task's requests, or none any more.

        Raises `UnknownTask`, also where there is no canary to end.
        """

        async def set_canary() -> None:
            async with self._thread.change:
                serving = await self._thread.run(lambda: self._stored(task_id, canary))
                self._live.take([(beside_entry(task_id, CANARY), serving)])
            change = "canary ended" if canary is None else "canary set"
            self._tell(change, task_id, None if canary is None else canary.version)

        await asyncio.shield(set_canary())

    def _stored(self, task_id: str, canary: Canary | None) -> ServingCanary | None:
        serving = None if canary is None else self._taking_over.canary(task_id, canary)
        self._store.versions.set_canary(task_id, canary)
        return serving

    async def _read(self, task_id: str, version: str) -> RegisteredTask:
        async with self._thread.change:
            found = self.at_hand(task_id, version)
            if found is None:
                try:
                    found = await self._thread.run(
                        lambda: self._table.add(task_id, self._changes.version(task_id, version))
                    )
                except _CANNOT_SERVE as error:
                    raise UnknownTask(f"version {version} cannot serve: {error}") from error
                self._live.hold(found)
        return found

    def _unknown(self, task_id: str, version: str) -> UnknownTask:
        live = self._live.get(task_id).version
        name = name_for_clients(task_id)[:160]
        return UnknownTask(f"no version {version[:80]!r} of {name!r}; {live} is live")
