"""Where a store's bytes live: read, list, and write each file whole or not at all.

The local folder is the one implementation; an object store can stand behind the same interface.
"""

import os
import secrets
from pathlib import Path
from typing import Protocol

TEMPORARY_PREFIX = ".tmp-"


class Files(Protocol):
    """Byte storage by relative path, with `/` between the parts."""

    def read(self, path: str) -> bytes:
        """The whole file. Raises `FileNotFoundError`."""

    def write(self, path: str, data: bytes) -> None:
        """Make `data` the file's content, atomically and durably, replacing what was there."""

    def remove(self, path: str) -> None:
        """Remove a file, durably. Raises `FileNotFoundError`."""

    def names(self, folder: str) -> list[str]:
        """Sorted names directly in a folder, files and folders alike; empty where there is none."""


class LocalFolder:
    """Files in a folder of the local disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        target = self.root / path
        self._make_folder(target.parent)
        temporary = target.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def remove(self, path: str) -> None:
        target = self.root / path
        target.unlink()
        _sync_folder(target.parent)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
