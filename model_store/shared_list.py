"""The list of a log's segments, where many add to it at once and take no lock.

Whoever changes it puts a new one in the place of the one that was read. Knows of segments their
numbers alone.
"""

import errno
import math
import random
import time
from collections.abc import Iterator, Set
from contextlib import suppress
from typing import NamedTuple

from model_store.segment_list import LIST_FILE, SEGMENTS_FOLDER, SegmentList, segment_path
from model_store.shared_files import SharedFiles, Version

KEPT_SECONDS = 1800.0
"""How long a segment that is not listed is left alone: its writer may be about to list it."""

_NUMBERS_KEPT = 512
_PATIENCE_SECONDS = 60.0
_TRIES = 4


class Read(NamedTuple):
    """The list as it was at a moment, by this machine's clock."""

    listed: SegmentList
    version: Version
    at: float


class Written(NamedTuple):
    """A segment that is in the store, though perhaps not listed."""

    number: int
    data: bytes
    since: float


class SharedList:
    """Half of `kept_seconds` is for a writer to list what it wrote, the other half for clocks."""

    def __init__(self, files: SharedFiles, kept_seconds: float = KEPT_SECONDS) -> None:
        self._files = files
        self._kept_seconds = kept_seconds

    def read(self) -> Read:
        """The list as it is now. Raises `CorruptStore`, or `OSError` as everything here."""
        at = _now()
        data, version = self._files.read_version(LIST_FILE)
        return Read(SegmentList.from_bytes(data), version, at)

    def write(self, data: bytes, read: Read) -> Written:
        """A segment under a number that no other ever had."""
        number, failed = read.listed.next_number, 0
        while True:
            since = _now()
            try:
                if self._files.create(segment_path(number), data):
                    break
            except OSError:
                failed += 1
                if failed == _TRIES:
                    raise
            # It may be ours, if an answer was lost. Then it is never listed, and costs no more.
            number += 1
        # Later on, a segment of that number might have been listed, gathered and removed since.
        return Written(number, data, since if self._in_time(read.at) else -math.inf)

    def may_list(self, written: Written) -> bool:
        """Not where it has taken so long that others may think that nobody will."""
        return self._in_time(written.since)

    def extend(self, read: Read, written: Written) -> SegmentList | None:
        """List one more at the end; None where that is not certainly the list now."""
        numbers = (*read.listed.numbers, written.number)
        return self._put(SegmentList(numbers, read.listed.gathered), read)

    def exchange(self, read: Read, at: int, count: int, new: tuple[int, ...]) -> SegmentList | None:
        """List these in the place of so many others; None where that is not certainly so now."""
        numbers = read.listed.numbers
        gathered = (*read.listed.gathered, *numbers[at : at + count])[-_NUMBERS_KEPT:]
        numbers = (*numbers[:at], *new, *numbers[at + count :])
        return self._put(SegmentList(numbers, gathered), read)

    def collect(self, kept: Set[int], listed_at: float) -> None:
        """Remove all other segments, but for those that may be listed yet.

        Their writers would have to read the list as it was made at `listed_at` or later, and would
        have known by then that they took too long.
        """
        paths, ages = {LIST_FILE, *map(segment_path, kept)}, self._files.ages(SEGMENTS_FOLDER)
        if not self._in_time(listed_at):
            return
        for path, age in ages.items():
            if path not in paths and age > self._kept_seconds:
                with suppress(FileNotFoundError):
                    self._files.remove(path)

    def _put(self, asked: SegmentList, read: Read) -> SegmentList | None:
        try:
            put = self._files.replace(LIST_FILE, asked.to_bytes(), read.version)
        except OSError:
            return None
        return asked if put else None

    def _in_time(self, since: float) -> bool:
        return _now() - since < self._kept_seconds / 2


def was_listed(number: int, before: Read | None, now: Read) -> bool:
    """Whether the number came into the list as it was `before`, where that was tried.

    Raises `OSError` where that is not known.
    """
    listed = now.listed
    if number in listed.numbers or number in listed.gathered:
        return True
    if before is None or len(listed.gathered) < _NUMBERS_KEPT:
        return False
    # It would stand behind what was gathered before, which is forgotten first.
    if before.listed.gathered and before.listed.gathered[-1] in listed.gathered:
        return False
    raise OSError(errno.EIO, "changed so often since that what came of it is not known")


def turns() -> Iterator[None]:
    """Ever again, at random moments, until it is no use to go on: raises `OSError` then."""
    until, longest = _now() + _PATIENCE_SECONDS, 0.01
    while _now() < until:
        yield
        time.sleep(random.uniform(0, longest))  # noqa: S311 parts those who collided
        longest = min(2 * longest, 1.0)
    raise OSError(errno.EBUSY, f"the list of segments was not changed in {_PATIENCE_SECONDS} s")


def _now() -> float:
    """Seconds that go on while the machine sleeps, where there is such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
