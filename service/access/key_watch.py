"""Follows the file of keys: a change counts within a second, or at once when told to look.

A file that is wrong changes nothing: the keys that were good stay so, and the log says why.
"""

import asyncio
import logging
from pathlib import Path

from service.access.key_file import read_key_file
from service.access.key_ring import KeyRing
from service.engine.tiers.redis_link import ended

_LOOK_SECONDS = 1.0

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int] | None


class KeyWatch:
    """Reads the file at once, so that a start without good keys fails.

    Raises `ValueError` or `OSError` then.
    """

    def __init__(self, path: Path, ring: KeyRing) -> None:
        self._path = path
        self._ring = ring
        self._stamp = self._seen()
        ring.replace(read_key_file(path).keys)
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at intervals, from now on."""
        self._watching = asyncio.create_task(self._keep_looking())

    async def close(self) -> None:
        """Stop looking."""
        await ended(self._watching)

    def reload(self) -> None:
        """Take over what the file says now."""
        self._stamp = self._seen()
        try:
            keys = read_key_file(self._path).keys
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            _log.error("the keys stay as they were: %s", why)
            return
        self._ring.replace(keys)
        _log.info("keys reloaded", extra={"keys": len(keys)})

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            # Of links the file they lead to: an orchestrator swaps a link to change a secret.
            if self._seen() != self._stamp:
                self.reload()

    def _seen(self) -> _Stamp:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
