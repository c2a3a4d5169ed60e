"""A store's versions beside the current ones: listed, added, dropped, and the canary among them."""

from collections.abc import Callable

from model_store.canary import Canary
from model_store.compatibility import check_artifact
from model_store.kept_versions import KeptVersions
from model_store.log_writer import Change, Writer
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from model_store.task_log import TaskLog
from model_store.task_names import checked_stored_name

Accept = Callable[[str | None], None]
"""Is told a task's current content hash, None where there is none; raises what is against it."""


class StoreVersions:
    """Every call raises `InvalidTaskName` on what no task is called."""

    def __init__(
        self, network: FrozenNetwork, log: TaskLog, writer: Writer, kept: KeptVersions
    ) -> None:
        self._network = network
        self._log = log
        self._writer = writer
        self._kept = kept

    def of(self, task_id: str) -> list[str]:
        """Content hashes of a task's versions, the current one last. Raises `UnknownTask`."""
        checked_stored_name(task_id)
        return self._log.up_to_date(lambda: self._kept.of(task_id))

    def canary(self, task_id: str) -> Canary | None:
        """A task's canary. Raises `CorruptArtifact`."""
        checked_stored_name(task_id)
        return self._log.up_to_date(lambda: self._kept.canary(task_id))

    def publish(self, task_id: str, artifact: TaskArtifact, accept: Accept) -> str | None:
        """As `Store.publish`, where `accept` raises nothing when it is told what is current.

        Gives what was current; where that is the artifact's own hash, nothing was written. Nobody
        changes the task between.
        """
        check_artifact(self._network, artifact)
        change = change_of(task_id, artifact)

        def decided() -> tuple[list[Change], str | None]:
            before = self._kept.current(task_id)
            accept(before)
            return self._kept.replacing(change), before

        return self._writer.change(decided)

    def add(self, task_id: str, artifact: TaskArtifact) -> bool:
        """Keep a version that is not to be the current one yet; True where it is new.

        Raises as `Store.publish` does, and `UnknownTask`: a task's first version is its current.
        """
        check_artifact(self._network, artifact)
        change = change_of(task_id, artifact)

        def decided() -> tuple[list[Change], bool]:
            changes = self._kept.added(change)
            return changes, bool(changes)

        return self._writer.change(decided)

    def delete(self, task_id: str, content_hash: str) -> None:
        """Drop a version for good. Raises `UnknownTask`, or `VersionInUse` where it answers."""
        checked_stored_name(task_id)
        self._writer.change(lambda: (self._kept.without(task_id, content_hash), None))

    def set_canary(self, task_id: str, canary: Canary | None) -> None:
        """Let a version have a share of the task's requests, or none. Raises `UnknownTask`."""
        checked_stored_name(task_id)

        def decided() -> tuple[list[Change], None]:
            if canary is None:
                return self._kept.without_canary(task_id), None
            return self._kept.with_canary(task_id, canary), None

        self._writer.change(decided)


def change_of(task_id: str, artifact: TaskArtifact) -> Change:
    """What publishes an artifact. Raises `InvalidTaskName`."""
    content_hash = bytes.fromhex(artifact.content_hash)
    return Change(checked_stored_name(task_id), content_hash, artifact.content)
