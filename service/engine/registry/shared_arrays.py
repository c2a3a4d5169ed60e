"""Arrays that all processes of a user on one machine have once, in files that lie in memory.

Whoever comes first writes a file, named by what it is of; others map it where it holds what they
hold themselves. None is ever changed, and the last to use it removes it. Knows no tasks.
"""

import fcntl
import logging
import mmap as maps
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from mmap import MAP_SHARED, PROT_READ, mmap
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

Parts = Sequence[NDArray[Any]]
"""Of one array, along its first axis."""

_ALIGNED = 64
_ATTEMPTS = 3
_COMPARED_BYTES = 1 << 16
"""At once, since a copy is compared soonest."""
_AT_ONCE = getattr(maps, "MAP_POPULATE", 0)
"""So that no request waits for a page, where the platform has it."""

_log = logging.getLogger(__name__)


class SharedArrays:
    """In a folder below `memory`, which is to be a file system in memory, as /dev/shm is."""

    def __init__(self, memory: Path, mean_bytes: int = 1 << 23) -> None:
        self.mean_bytes = mean_bytes
        """Of what should be put at once: it costs two descriptors, and is had whole or not."""
        self._folder = memory / f"impress-{os.geteuid()}"
        self.usable = True
        """Until something could not be had: what comes after would not be had either."""

    def put(self, name: str, arrays: Sequence[Parts]) -> list[NDArray[Any]] | None:
        """Equal arrays, not to be written to, which others that put the same have too.

        None, and not `usable` from then on, where that cannot be had: there is no such folder, it
        is full, another's, or holds other things under that name.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            found = self._folder.lstat()
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise PermissionError(f"expected {self._folder} to be its owner's alone")
            return self._mapped(self._folder / name, arrays)
        except (OSError, ValueError) as error:
            _log.warning("tasks are in memory of this process alone from here on: %s", error)
            self.usable = False
            return None

    def sweep(self) -> None:
        """Remove what processes left that were killed."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                with suppress(OSError):
                    _let_go(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), path)

    def _mapped(self, path: Path, arrays: Sequence[Parts]) -> list[NDArray[Any]]:
        for _ in range(_ATTEMPTS):  # others may remove it at the same moment
            descriptor = _opened(path)
            if descriptor is None:
                descriptor = self._written(path, arrays)
            if descriptor is not None:
                break
        else:
            raise FileNotFoundError(f"{path} is removed as soon as it is there")
        # The lock is the descriptor's, which a mapping does not keep.
        try:
            mapped = mmap(descriptor, 0, MAP_SHARED | _AT_ONCE, PROT_READ)
        except (OSError, ValueError):
            _let_go(descriptor, path)
            raise
        finalize(mapped, _let_go, descriptor, path)
        return _equal(mapped, arrays)

    def _written(self, path: Path, arrays: Sequence[Parts]) -> int | None:
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                for parts in arrays:
                    file.write(bytes(-file.tell() % _ALIGNED))
                    for part in parts:
                        file.write(part.data)
            # By another process, meanwhile; or swept before it was locked.
            with suppress(FileExistsError, FileNotFoundError):
                os.link(temporary, path)
            return _opened(path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)


def _opened(path: Path) -> int | None:
    """The file, locked so that nobody removes it; None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None


def _equal(mapped: mmap, arrays: Sequence[Parts]) -> list[NDArray[Any]]:
    """The arrays where they are mapped. Raises `ValueError` where others are."""
    found: list[NDArray[Any]] = []
    end = 0
    for parts in arrays:
        start = end = end + -end % _ALIGNED
        for part in parts:
            if not _same(mapped, end, part):
                raise ValueError("expected what this process has under that name, got another's")
            end += part.nbytes
        rows = sum(map(len, parts))
        shape = (rows, *parts[0].shape[1:])
        found.append(np.frombuffer(mapped, parts[0].dtype, prod(shape), start).reshape(shape))
    return found


def _same(mapped: mmap, start: int, part: NDArray[Any]) -> bool:
    flat = part.reshape(-1).view(np.uint8)
    return all(
        mapped[start + at : start + min(at + _COMPARED_BYTES, len(flat))]
        == flat[at : at + _COMPARED_BYTES].tobytes()
        for at in range(0, len(flat), _COMPARED_BYTES)
    )


def _let_go(descriptor: int, path: Path) -> None:
    """Close a file, and remove it where nobody else has it."""
    try:
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(descriptor)
