"""The store in a folder: open, list, load, publish, delete. Every change is atomic and durable.

Layout: `manifest.json`, `bank.safetensors` where the bank was learned, and for each task
`tasks/<task>/<content hash>.safetensors` with a file `current` that names the hash being served.
"""

import hashlib
import re
from pathlib import Path

from model_store.bank_file import BANK_FILE, bank_file
from model_store.compatibility import check_artifact
from model_store.errors import (
    CorruptArtifact,
    CorruptStore,
    StoreExists,
    StoreNotFound,
    UnknownTask,
)
from model_store.files import Files, LocalFolder
from model_store.manifest import Manifest
from model_store.network import FrozenNetwork, frozen_network
from model_store.task_artifact import TaskArtifact, checked_task_name, parse_artifact

MANIFEST_FILE = "manifest.json"
TASKS_FOLDER = "tasks"
CURRENT_FILE = "current"

_POINTER = re.compile(rb"([0-9a-f]{64})\n")


class Store:
    """A store that exists. Tasks are read from disk at each call; nothing is cached here."""

    def __init__(self, files: Files, network: FrozenNetwork) -> None:
        self.files = files
        self.network = network

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open the store in `folder`, its fingerprints verified.

        Raises `StoreNotFound` or `CorruptStore`.
        """
        files = LocalFolder(folder)
        try:
            manifest = Manifest.from_bytes(files.read(MANIFEST_FILE), MANIFEST_FILE)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFound(f"no store at {folder}: it has no {MANIFEST_FILE}") from error
        try:
            bank_bytes = None if manifest.bank.seed is not None else files.read(BANK_FILE)
        except FileNotFoundError as error:
            raise CorruptStore(f"{BANK_FILE}: missing, though the bank was learned") from error
        return cls(files, frozen_network(manifest, bank_bytes))

    @classmethod
    def create(cls, folder: Path, network: FrozenNetwork) -> "Store":
        """A new store without tasks. Raises `StoreExists` where there is one."""
        files = LocalFolder(folder)
        if MANIFEST_FILE in files.names(""):
            raise StoreExists(f"{folder} holds a store already")
        if network.manifest.bank.seed is None:
            files.write(BANK_FILE, bank_file(network.bank, network.segments))
        # The manifest last: a store without one does not exist.
        files.write(MANIFEST_FILE, network.manifest.to_bytes())
        return cls(files, network)

    def task_ids(self) -> list[str]:
        """The published tasks, sorted; those of a damaged pointer too."""
        return [task for task in self.files.names(TASKS_FOLDER) if self._exists(task)]

    def current_hash(self, task_id: str) -> str | None:
        """The content hash being served for a task; None where there is no such task.

        Raises `InvalidTaskName`, or `CorruptArtifact` where the pointer is damaged.
        """
        path = f"{TASKS_FOLDER}/{checked_task_name(task_id)}/{CURRENT_FILE}"
        try:
            pointer = self.files.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        match = _POINTER.fullmatch(pointer)
        if match is None:
            raise CorruptArtifact(f"{path}: expected a content hash, got {pointer[:80]!r}")
        return match[1].decode()

    def load(self, task_id: str) -> TaskArtifact:
        """A task's current artifact, verified against its hash and this store's network.

        Raises `InvalidTaskName`, `UnknownTask`, `CorruptArtifact`, `InvalidArtifact` or
        `IncompatibleBackbone`.
        """
        content_hash = self.current_hash(task_id)
        if content_hash is None:
            raise UnknownTask(f"no task {task_id!r}")
        return self.load_version(task_id, content_hash)

    def load_version(self, task_id: str, content_hash: str) -> TaskArtifact:
        """One version of a task by its content hash; raises as `load` does."""
        path = artifact_path(checked_task_name(task_id), content_hash)
        try:
            data = self.files.read(path)
        except FileNotFoundError as error:
            raise CorruptArtifact(f"{path}: missing") from error
        if hashlib.sha256(data).hexdigest() != content_hash:
            raise CorruptArtifact(f"{path}: {len(data)} bytes that do not hash to the file's name")
        artifact = parse_artifact(data)
        check_artifact(self.network, artifact)
        return artifact

    def publish(self, task_id: str, artifact: TaskArtifact) -> bool:
        """Make `artifact` the task's current one; True where the task is new.

        After the return it survives a crash; before it the earlier one stays whole. Raises
        `InvalidTaskName`, `InvalidArtifact` or `IncompatibleBackbone`, and changes nothing then.
        """
        checked_task_name(task_id)
        check_artifact(self.network, artifact)
        created = not self._exists(task_id)
        self.files.write(artifact_path(task_id, artifact.content_hash), artifact.content)
        pointer = f"{TASKS_FOLDER}/{task_id}/{CURRENT_FILE}"
        self.files.write(pointer, f"{artifact.content_hash}\n".encode())
        return created

    def delete(self, task_id: str) -> None:
        """Remove a task and all its versions. Raises `UnknownTask`."""
        if not self._exists(checked_task_name(task_id)):
            raise UnknownTask(f"no task {task_id!r}")
        folder = f"{TASKS_FOLDER}/{task_id}"
        # The pointer first: from then on the task does not exist, whatever is left behind.
        self.files.remove(f"{folder}/{CURRENT_FILE}")
        for name in self.files.names(folder):
            self.files.remove(f"{folder}/{name}")

    def _exists(self, task_id: str) -> bool:
        # The pointer is not read: a task with a damaged one can be published again, or deleted.
        return CURRENT_FILE in self.files.names(f"{TASKS_FOLDER}/{task_id}")


def artifact_path(task_id: str, content_hash: str) -> str:
    """Where a version of a task lies, relative to the store."""
    return f"{TASKS_FOLDER}/{task_id}/{content_hash}.safetensors"
