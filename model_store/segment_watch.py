"""Whether segments are still the bytes that were read. Knows nothing of what the bytes mean.

A file's stamp rules a change out once it is old enough for any later change to show in it. Where it
cannot, a checksum of what was read decides.
"""

import time
import zlib
from typing import NamedTuple

from model_store.files import Files, Stamp
from model_store.segment_list import segment_path

_SETTLED_NS = 2_000_000_000
"""Older than the clock of any file system is coarse."""

_WINDOW_BYTES = 1 << 20


class _Seen(NamedTuple):
    stamp: Stamp
    size: int
    """Bytes from the segment's beginning that were there to be read."""
    checksum: int | None
    """Of those bytes; None where the stamp alone will do."""
    ruled_out: bool
    """Whether bytes that differ from those would show in the stamp."""


class SegmentWatch:
    """Every call raises `FileNotFoundError` where the segment is gone: compacted, or lost."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen: dict[int, _Seen] = {}

    def forget(self) -> None:
        """Every segment is new from now on."""
        self._seen.clear()

    def drop(self, segment: int) -> None:
        """Look after that segment no more."""
        self._seen.pop(segment, None)

    def see(self, segment: int, may_grow: bool) -> int:
        """The segment's length in bytes; to be called before they are read.

        Where it was seen before, it `goes_on` from there.
        """
        stamp = self._files.stamp(segment_path(segment))
        before = self._seen.get(segment)
        if before is not None and stamp.size == before.size:
            return before.size
        settled = before is None and _settled(stamp)
        checksum = None
        if may_grow or not settled:
            start, of_these = (0, 0) if before is None else (before.size, before.checksum or 0)
            checksum = self._checksum(segment, start, stamp.size, of_these)
        self._seen[segment] = _Seen(stamp, stamp.size, checksum, settled)
        return stamp.size

    def goes_on(self, segment: int, may_grow: bool) -> bool:
        """Whether it is the file that was seen, as long as it was or rightly longer. Reads none."""
        seen, stamp = self._seen[segment], self._files.stamp(segment_path(segment))
        if stamp.file != seen.stamp.file:
            return False
        grew = may_grow and seen.checksum is not None and stamp.size > seen.size
        return grew or stamp.size == seen.size

    def stands(self, segment: int) -> bool:
        """Whether every byte that was seen is what it was."""
        seen, stamp = self._seen[segment], self._files.stamp(segment_path(segment))
        if seen.ruled_out and stamp == seen.stamp:
            return True
        if seen.checksum is None or stamp.size < seen.size:
            return False
        if self._checksum(segment, 0, seen.size, 0) != seen.checksum:
            return False
        ruled_out = stamp.size == seen.size and _settled(stamp)
        self._seen[segment] = seen._replace(stamp=stamp, ruled_out=ruled_out)
        return True

    def _checksum(self, segment: int, start: int, end: int, before: int) -> int:
        checksum = before
        for at in range(start, end, _WINDOW_BYTES):
            length = min(_WINDOW_BYTES, end - at)
            checksum = zlib.crc32(
                self._files.read_part(segment_path(segment), at, length), checksum
            )
        return checksum


def _settled(stamp: Stamp) -> bool:
    return time.time_ns() - stamp.changed_ns > _SETTLED_NS
