"""Where a store's bytes live, and the local folder: read, list, append, and write each file whole.

An object store, which has neither appends nor a lock, is in `object_folder.py`.
"""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

TEMPORARY_PREFIX = ".tmp-"


class Stamp(NamedTuple):
    """What a file's change shows in, but for one right after another."""

    size: int
    """In bytes."""
    file: tuple[int, ...]
    """Which file it is: another one that takes its path has another."""
    changed_ns: int
    """When it was last changed, by the clock of where it lies."""


Part = tuple[str, int, int]
"""Bytes of a file: its path, and from and to where."""


class Files(Protocol):
    """Byte storage by relative path, with `/` between the parts."""

    segments_grow: bool
    """Whether a segment may be appended to; where none may, its stamp says all of it."""

    def read(self, path: str) -> bytes:
        """The whole file. Raises `FileNotFoundError`."""

    def read_part(self, path: str, start: int, length: int) -> bytes:
        """So many bytes from `start`, fewer where the file ends. Raises `FileNotFoundError`."""

    def size(self, path: str) -> int:
        """The file's length in bytes. Raises `FileNotFoundError`."""

    def stamp(self, path: str) -> Stamp:
        """The file's stamp. Raises `FileNotFoundError`."""

    def write(self, path: str, data: bytes) -> None:
        """Make `data` the file's content, atomically and durably, replacing what was there."""

    def create(self, path: str, data: bytes) -> bool:
        """As `write`, but only where there is no such file; False, and nothing done, where is."""

    def remove(self, path: str) -> None:
        """Remove a file, durably. Raises `FileNotFoundError`."""

    def names(self, folder: str) -> list[str]:
        """Sorted names directly in a folder, files and folders alike; empty where there is none."""

    def expect(self, parts: Iterable[Part]) -> None:
        """These parts of files are about to be read, in this order; may be fetched meanwhile."""

    def forget(self) -> None:
        """Ask anew for what was remembered of files that others never should have changed."""


class LocalFolder:
    """Files in a folder of the local disk."""

    segments_grow = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def read_part(self, path: str, start: int, length: int) -> bytes:
        with (self.root / path).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, start)

    def size(self, path: str) -> int:
        return (self.root / path).stat().st_size

    def stamp(self, path: str) -> Stamp:
        found = (self.root / path).stat()
        # Not when it was written, which whoever restores a file can set.
        return Stamp(found.st_size, (found.st_dev, found.st_ino), found.st_ctime_ns)

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

    def create(self, path: str, data: bytes) -> bool:
        target = self.root / path
        self._make_folder(target.parent)
        descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Of the folder itself, so that no file of a lock stays behind.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if target.exists():
                return False
            self.write(path, data)
            return True
        finally:
            os.close(descriptor)

    def append(self, path: str, data: bytes) -> None:
        """Add `data` to the end of a file that exists, durably; a failure may leave part of it.

        Readers see the file grow from its beginning. Raises `FileNotFoundError`.
        """
        descriptor = os.open(self.root / path, os.O_WRONLY | os.O_APPEND)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: str) -> None:
        target = self.root / path
        target.unlink()
        _sync_folder(target.parent)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def expect(self, parts: Iterable[Part]) -> None:
        """Nothing: what is on the local disk is at hand."""

    def forget(self) -> None:
        """Nothing: nothing is remembered."""

    @contextmanager
    def lock(self, path: str) -> Iterator[None]:
        """Wait to be the only one who holds this lock, of all threads and processes."""
        target = self.root / path
        self._make_folder(target.parent)
        # A file handle for each holder: the lock is the handle's, so it parts threads too.
        with target.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

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
