"""The service on a disk of its own, small and real: a tmpfs that nobody else sees."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.real_parts import ServiceProcess

_MOUNTED = 'mount -t tmpfs -o size="$0" tmpfs "$2" && cp -r "$1/." "$2" && shift 2 && exec "$@"'
_SPACE_OF_ITS_OWN = ("unshare", "--map-root-user", "--mount")


class SmallDiskService(ServiceProcess):
    """Serves a copy of a store; skips where a plain user may mount nothing."""

    def __init__(self, store_folder: Path, disk: Path, size_bytes: int, **settings: str) -> None:
        tried = subprocess.run(
            [*_SPACE_OF_ITS_OWN, "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if tried.returncode:
            pytest.skip(f"no disk of its own can be mounted: {tried.stderr.strip()}")
        super().__init__(disk, **settings)
        self._disk = disk
        copied = (str(size_bytes), str(store_folder), str(disk))
        self.before = (*_SPACE_OF_ITS_OWN, "sh", "-c", _MOUNTED, *copied)

    @property
    def folder(self) -> Path:
        """The disk as the service sees it, for others."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self._disk}")

    @property
    def free_bytes(self) -> int:
        """What is left of it."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def remount(self, how: str) -> None:
        """Make the disk `ro` or `rw`."""
        assert self.process is not None
        inside = ("nsenter", "-t", str(self.process.pid), "--user", "--mount")
        subprocess.run([*inside, "mount", "-o", f"remount,{how}", str(self._disk)], check=True)
