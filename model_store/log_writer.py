"""Appends to a log in a folder and compacts it, one writer at a time of all threads and processes.

Never writes over a byte that was acknowledged: a change of segments is one new list.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol, TypeVar

from model_store.errors import StoreError
from model_store.files import TEMPORARY_PREFIX, Files, LocalFolder
from model_store.segment_file import SEGMENT_START, frame
from model_store.segment_list import (
    LIST_FILE,
    SEGMENTS_FOLDER,
    SegmentList,
    is_segment,
    segment_path,
)
from model_store.task_log import TaskLog

LOCK_FILE = f"{SEGMENTS_FOLDER}/lock"

SEGMENT_BYTES = 1 << 26
"""A segment grows to this, and beyond it only where a single entry does."""

COMPACTED_ABOVE_BYTES = 1 << 24
"""Of segments; in fewer the dead bytes are left for `compact` on request."""


class Change(NamedTuple):
    """A task's new content and its hash; `DELETED` and no content end the task."""

    task_id: str
    content_hash: bytes
    content: bytes


Result = TypeVar("Result")


class Writer(Protocol):
    """Changes the log that it reads."""

    def change(self, decide: Callable[[], tuple[Sequence[Change], Result]]) -> Result:
        """Write the changes that are decided on, durably, and give the result that came with them.

        Nobody's change comes between: `decide` sees all that were made before, and may be called
        again where others' came first. What it raises is raised, and nothing is changed then.
        """

    def compact_all(self) -> None:
        """Drop from the disk what does not count any more."""


class LogWriter:
    """Every change is made while `changing`."""

    def __init__(
        self,
        log: TaskLog,
        segment_bytes: int = SEGMENT_BYTES,
        compacted_above_bytes: int = COMPACTED_ABOVE_BYTES,
    ) -> None:
        assert isinstance(log.files, LocalFolder), "nothing else is appended to"
        self._log = log
        self._files = log.files
        self._segment_bytes = segment_bytes
        self._compacted_above_bytes = compacted_above_bytes

    def change(self, decide: Callable[[], tuple[Sequence[Change], Result]]) -> Result:
        with self.changing():
            changes, result = decide()
            self.append(changes)
            return result

    def compact_all(self) -> None:
        with self.changing():
            self.compact()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Be the only writer, with everything known that was changed before."""
        with self._files.lock(LOCK_FILE):
            self._log.refresh()
            yield

    def append(self, changes: Sequence[Change]) -> None:
        """Write the changes durably, with one sync; then compact where most bytes are dead."""
        if not changes:
            return
        data = b"".join(frame(*change) for change in changes)
        segments = self._log.segments
        if segments and self._has_room(segments[-1], len(data)):
            self._files.append(segment_path(segments[-1]), data)
            self._log.refresh()
        else:
            number = SegmentList(segments).next_number
            self._files.write(segment_path(number), SEGMENT_START + data)
            self._relist((*segments, number))
        if most_is_dead(self._log, self._compacted_above_bytes):
            # What was asked for is done by now, and a store that stays large is whole.
            with suppress(OSError, StoreError):
                self.compact()

    def compact(self) -> None:
        """Keep only the current entries; damaged content as it is, so that it stays named.

        What is unreadable belongs to no task that can be named, and is dropped.
        """
        self._log.recheck()
        number = SegmentList(self._log.segments).next_number
        numbers: list[int] = []
        try:
            for data in live_segments(self._log, self._segment_bytes):
                self._files.write(segment_path(number), data)
                numbers.append(number)
                number += 1
            self._relist(tuple(numbers))
        except OSError:
            self._collect()
            raise

    def _has_room(self, segment: int, wanted: int) -> bool:
        # Behind a torn tail nothing is appended: it would be damage in the middle.
        fits = self._log.end(segment) + wanted <= self._segment_bytes
        return fits and not self._log.torn_bytes(segment)

    def _relist(self, numbers: tuple[int, ...]) -> None:
        self._files.write(LIST_FILE, SegmentList(numbers).to_bytes())
        self._log.refresh()
        self._collect()

    def _collect(self) -> None:
        for path in leftovers(self._files, self._log.segments):
            with suppress(FileNotFoundError):
                self._files.remove(path)


def most_is_dead(log: TaskLog, above_bytes: int) -> bool:
    """Whether compacting a log of more bytes would free half of them, and lose nothing unread."""
    if log.whole_bytes <= above_bytes or log.unreadable:
        return False
    return 2 * log.live_bytes < log.whole_bytes


def live_segments(log: TaskLog, segment_bytes: int) -> Iterator[bytes]:
    """New segments with every current entry: one at least, so that numbers only grow."""
    data = bytearray(SEGMENT_START)
    for entry, content in log.contents():
        framed = frame(entry.task_id, entry.content_hash, content)
        if len(data) > len(SEGMENT_START) and len(data) + len(framed) > segment_bytes:
            yield bytes(data)
            data = bytearray(SEGMENT_START)
        data += framed
    yield bytes(data)


def leftovers(files: Files, listed: Sequence[int]) -> list[str]:
    """Paths of what writers who died left among the segments; none of it is part of the store."""
    paths = {segment_path(segment) for segment in listed}
    return [
        f"{SEGMENTS_FOLDER}/{name}"
        for name in files.names(SEGMENTS_FOLDER)
        if name.startswith(TEMPORARY_PREFIX)
        or (is_segment(name) and f"{SEGMENTS_FOLDER}/{name}" not in paths)
    ]
