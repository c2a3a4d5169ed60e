"""What a change of a task takes beside it: earlier versions are kept within a bound.

Decides on entries and writes none; to be asked while nobody else changes the log. A version is its
artifact's content hash, and never changes.
"""

import hashlib

from model_store.canary import Canary
from model_store.entry_names import CANARY, beside_entry, is_version
from model_store.errors import CorruptArtifact, UnknownTask, VersionInUse
from model_store.log_writer import Change
from model_store.segment_file import DELETED, Entry
from model_store.task_log import TaskLog

KEPT_VERSIONS = 8
"""Of a task, the current one included; the canary's is kept besides."""


class KeptVersions:
    """Of the tasks of a log, as of its last refresh."""

    def __init__(self, log: TaskLog) -> None:
        self._log = log

    def current(self, task_id: str) -> str | None:
        """The content hash that a task is at; None where there is no such task, or none says."""
        entry = self._current_entry(task_id)
        return None if entry is None else entry.content_hash.hex()

    def of(self, task_id: str) -> list[str]:
        """A task's versions, the one kept longest first, the current one last."""
        current = self.current(task_id)
        if current is None:
            raise UnknownTask(f"no task {task_id!r}")
        return [*(one for one in self._kept(task_id) if one != current), current]

    def canary(self, task_id: str) -> Canary | None:
        """The task's canary. Raises `CorruptArtifact`."""
        entry = self._log.current_entry(beside_entry(task_id, CANARY))
        return None if entry is None else Canary.from_bytes(self._log.read(entry))

    def replacing(self, change: Change) -> list[Change]:
        """What publishes a task's content and keeps what it replaces; none where it is current."""
        before = self._current_entry(change.task_id)
        if before is None:
            return [change]
        try:
            content = self._log.read(before)
        except CorruptArtifact:
            return [change]  # which mends it, or leaves nothing worth keeping
        if before.content_hash == change.content_hash:
            return []
        task_id, replaced = change.task_id, before.content_hash.hex()
        kept = Change(beside_entry(task_id, replaced), before.content_hash, content)
        ages = [one for one in self._kept(task_id) if one != replaced]
        # The one that is published may be kept already, and is no version more then.
        ages = [one for one in ages if one != change.content_hash.hex()]
        return [kept, change, *self._dropped(task_id, ages, KEPT_VERSIONS - 2)]

    def added(self, change: Change) -> list[Change]:
        """What keeps a version that is not to be current yet; none where it is there.

        Raises `UnknownTask`: the first version of a task is current.
        """
        task_id, version = change.task_id, change.content_hash.hex()
        versions = self.of(task_id)
        if version in versions:
            return []
        kept = change._replace(task_id=beside_entry(task_id, version))
        return [kept, *self._dropped(task_id, versions[:-1], KEPT_VERSIONS - 2)]

    def without(self, task_id: str, version: str) -> list[Change]:
        """What drops a version. Raises `UnknownTask`, or `VersionInUse` where it answers."""
        versions = self.of(task_id)
        if version not in versions:
            raise UnknownTask(f"no version {version[:80]} of task {task_id!r}")
        if version == versions[-1]:
            raise VersionInUse(f"version {version} of task {task_id!r} is its current one")
        if version == self._in_canary(task_id):
            raise VersionInUse(f"version {version} of task {task_id!r} is its canary")
        return [Change(beside_entry(task_id, version), DELETED, b"")]

    def with_canary(self, task_id: str, canary: Canary) -> list[Change]:
        """What makes it the task's canary; none where it is. Raises `UnknownTask`."""
        if canary.version not in self.of(task_id):
            raise UnknownTask(f"no version {canary.version} of task {task_id!r}")
        content = canary.to_bytes()
        content_hash = hashlib.sha256(content).digest()
        stands = self._log.current_entry(beside_entry(task_id, CANARY))
        if stands is not None and stands.content_hash == content_hash:
            return []
        made = [Change(beside_entry(task_id, CANARY), content_hash, content)]
        current = self._log.current_entry(task_id)
        if current is not None and current.content_hash.hex() == canary.version:
            # So that it stays, whatever is published next.
            kept = beside_entry(task_id, canary.version)
            made.insert(0, Change(kept, current.content_hash, self._log.read(current)))
        return made

    def without_canary(self, task_id: str) -> list[Change]:
        """What ends the task's canary. Raises `UnknownTask` where it has none."""
        if CANARY not in self._log.beside.get(task_id, ()):
            raise UnknownTask(f"task {task_id!r} has no canary")
        return [Change(beside_entry(task_id, CANARY), DELETED, b"")]

    def surplus(self, keep: int) -> list[Change]:
        """What leaves each task `keep` versions, the current one included, and its canary's."""
        dropped = []
        for task_id in self._log.beside:
            current = self.current(task_id)
            earlier = [one for one in self._kept(task_id) if one != current]
            dropped += self._dropped(task_id, earlier, keep - 1)
        return dropped

    def _current_entry(self, task_id: str) -> Entry | None:
        try:
            return self._log.current_entry(task_id)
        except CorruptArtifact:
            return None

    def _kept(self, task_id: str) -> list[str]:
        return [one for one in self._log.beside.get(task_id, ()) if is_version(one)]

    def _in_canary(self, task_id: str) -> str | None:
        try:
            canary = self.canary(task_id)
        except CorruptArtifact:
            return None
        return None if canary is None else canary.version

    def _dropped(self, task_id: str, ages: list[str], keep: int) -> list[Change]:
        """Deletes of all but the `keep` last of these, and but for the canary's."""
        surplus = ages[: max(0, len(ages) - keep)]
        pinned = self._in_canary(task_id) if surplus else None
        names = [beside_entry(task_id, one) for one in surplus if one != pinned]
        return [Change(name, DELETED, b"") for name in names]
