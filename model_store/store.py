"""The store: open, list, load, publish, delete. Every change is atomic and durable.

Layout: `manifest.json`, `bank.safetensors` where the bank was learned, and `segments/`, a log of
everything that was published and deleted. The service and the trainer may write at once. It lies in
a local folder, or under a prefix of an object store.
"""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from model_store.bank_file import BANK_FILE, bank_file
from model_store.compatibility import check_artifact
from model_store.entry_names import is_task
from model_store.errors import (
    CorruptStore,
    StoreExists,
    StoreNotFound,
    UnknownTask,
)
from model_store.files import LocalFolder
from model_store.kept_versions import KEPT_VERSIONS, KeptVersions
from model_store.locations import files_at
from model_store.log_writer import SEGMENT_BYTES, Change, LogWriter, Writer
from model_store.manifest import Manifest
from model_store.network import FrozenNetwork, frozen_network
from model_store.segment_file import DELETED
from model_store.segment_list import LIST_FILE, SegmentList, segment_path
from model_store.shared_files import SharedFiles
from model_store.shared_log_writer import SharedLogWriter
from model_store.store_versions import Accept, StoreVersions, change_of
from model_store.task_artifact import TaskArtifact, parse_artifact
from model_store.task_log import TaskLog
from model_store.task_names import checked_stored_name, name_for_clients

MANIFEST_FILE = "manifest.json"


class Store:
    """A store that exists. It remembers where each task lies, and reads artifacts when asked."""

    def __init__(
        self,
        files: LocalFolder | SharedFiles,
        network: FrozenNetwork,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.files = files
        self.network = network
        self.log = TaskLog(files)
        self._kept = KeptVersions(self.log)
        self._segment_bytes = segment_bytes
        self._writer: Writer = (
            LogWriter(self.log, segment_bytes)
            if isinstance(files, LocalFolder)
            else SharedLogWriter(self.log, files, segment_bytes)
        )
        self.versions = StoreVersions(network, self.log, self._writer, self._kept)

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open the store in `folder`, its fingerprints verified and its tasks found.

        A folder `s3://bucket/prefix` is of an object store. Raises `StoreNotFound` or
        `CorruptStore`.
        """
        files = files_at(folder)
        try:
            manifest = Manifest.from_bytes(files.read(MANIFEST_FILE), MANIFEST_FILE)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFound(f"no store at {files}: it has no {MANIFEST_FILE}") from error
        try:
            bank_bytes = None if manifest.bank.seed is not None else files.read(BANK_FILE)
        except FileNotFoundError as error:
            raise CorruptStore(f"{BANK_FILE}: missing, though the bank was learned") from error
        store = cls(files, frozen_network(manifest, bank_bytes))
        store.log.refresh()
        return store

    @classmethod
    def create(cls, folder: Path, network: FrozenNetwork) -> "Store":
        """A new store without tasks. Raises `StoreExists` where there is one."""
        files = files_at(folder)
        cls.check_none(folder)
        if network.manifest.bank.seed is None:
            files.write(BANK_FILE, bank_file(network.bank, network.segments))
        # Of a creator who died, or one who is a moment ahead and may have published already.
        if (
            not files.create(LIST_FILE, SegmentList().to_bytes())
            and SegmentList.read(files).numbers
        ):
            raise StoreExists(f"{files} holds tasks of a store already")
        # The manifest last: a store without one does not exist.
        if not files.create(MANIFEST_FILE, network.manifest.to_bytes()):
            raise StoreExists(f"{files} holds a store already")
        return cls(files, network)

    @classmethod
    def check_none(cls, folder: Path) -> None:
        """Raise `StoreExists` where there is a store."""
        files = files_at(folder)
        if MANIFEST_FILE in files.names(""):
            raise StoreExists(f"{files} holds a store already")

    def task_ids(self) -> list[str]:
        """The published tasks, sorted; those of damaged artifacts too."""
        self.log.refresh()
        return sorted(filter(is_task, self.log.current))

    def current_hash(self, task_id: str) -> str | None:
        """The content hash of a task's current artifact; None where there is no such task.

        Raises `InvalidTaskName`.
        """
        checked_stored_name(task_id)
        return self.log.current_hash(task_id)

    def load(self, task_id: str) -> TaskArtifact:
        """A task's current artifact, verified against its hash and this store's network.

        Raises `InvalidTaskName`, `UnknownTask`, `CorruptArtifact`, `InvalidArtifact` or
        `IncompatibleBackbone`.
        """
        return self._checked(self.log.read_current(checked_stored_name(task_id)))

    def load_version(self, task_id: str, content_hash: str) -> TaskArtifact:
        """One version of a task by its content hash, current or kept; raises as `load` does."""
        return self._checked(self.log.read_version(checked_stored_name(task_id), content_hash))

    def publish(self, task_id: str, artifact: TaskArtifact) -> bool:
        """Make `artifact` the task's current one; True where the task is new.

        After the return it survives a crash; before it the earlier one stays whole, and after it it
        is kept as a version. Raises `InvalidTaskName`, `InvalidArtifact` or `IncompatibleBackbone`,
        and changes nothing then.
        """
        return self.publish_many([(task_id, artifact)]) == 1

    def publish_many(self, tasks: Iterable[tuple[str, TaskArtifact]]) -> int:
        """Publish tasks that are at hand, many with one sync; how many of them are new.

        Raises as `publish` does; then, or after a crash, some of the tasks before are published.
        """
        created = 0
        changes: list[Change] = []
        gathered = 0
        for task_id, artifact in tasks:
            check_artifact(self.network, artifact)
            changes.append(change_of(task_id, artifact))
            gathered += len(artifact.content)
            if gathered > self._segment_bytes // 2:
                created += self._publish(changes)
                changes, gathered = [], 0
        return created + self._publish(changes)

    def delete(self, task_id: str, accept: Accept = lambda _: None) -> None:
        """Remove a task and all its versions. Raises `UnknownTask`, and what `accept` does."""
        checked_stored_name(task_id)

        def decided() -> tuple[list[Change], None]:
            if task_id not in self.log.current:
                raise UnknownTask(f"no task {name_for_clients(task_id)!r}")
            accept(self._kept.current(task_id))
            return [Change(task_id, DELETED, b"")], None

        self._writer.change(decided)

    def compact(self, keep: int = KEPT_VERSIONS) -> None:
        """Drop deleted tasks, versions beyond `keep` and unreadable bytes from the disk."""
        if keep < KEPT_VERSIONS:
            self._writer.change(lambda: (self._kept.surplus(keep), None))
        self._writer.compact_all()

    def unreadable(self) -> dict[str, str]:
        """What is damaged beyond a task's name: where, and what is wrong."""
        return {
            f"{segment_path(one.segment)} at byte {one.start}": (
                f"{one.end - one.start} bytes that are no entry; what they held is lost"
            )
            for one in self.log.unreadable
        }

    def _publish(self, changes: list[Change]) -> int:
        def decided() -> tuple[list[Change], int]:
            created = len({change.task_id for change in changes} - self.log.current.keys())
            needed = map(self._kept.replacing, changes)
            return list(chain.from_iterable(needed)), created

        return self._writer.change(decided)

    def _checked(self, data: bytes) -> TaskArtifact:
        artifact = parse_artifact(data)
        check_artifact(self.network, artifact)
        return artifact
