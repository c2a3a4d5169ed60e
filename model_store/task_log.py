"""A store's segments read as one log: which entry is each task's current one. Changes nothing.

For one thread at a time; other processes append and compact meanwhile, and are caught up with.
"""

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain

from model_store.errors import CorruptArtifact, CorruptStore, UnknownTask
from model_store.files import Files
from model_store.segment_file import SEGMENT_START, Entry, Unreadable, scan
from model_store.segment_list import LIST_FILE, SEGMENTS_FOLDER, SegmentList, segment_path


class TaskLog:
    """What the segments hold, as of the last `refresh`."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._forget()

    def _forget(self) -> None:
        self.segments: tuple[int, ...] = ()
        """Their numbers, in the order in which they were written."""
        self.current: dict[str, Entry] = {}
        """Of each task the entry that counts, those of damaged content too."""
        self.unreadable: list[Unreadable] = []
        self.live_bytes = 0
        """Of the current entries, their heads included."""
        self._ends: dict[int, int] = {}

    @property
    def whole_bytes(self) -> int:
        """Of all segments, without torn tails."""
        return sum(self._ends.values())

    def refresh(self) -> None:
        """Catch up with what was appended or compacted since; reads only what is new.

        Raises `CorruptStore`.
        """
        while True:
            listed = _read_list(self.files).numbers
            try:
                self._catch_up(listed)
            except FileNotFoundError as error:
                # Another process may have compacted since the list was read.
                self._forget()
                if _read_list(self.files).numbers == listed:
                    raise CorruptStore(f"{self._missing(listed)}: missing, but listed") from error
            except BaseException:
                self._forget()
                raise
            else:
                return

    def read(self, entry: Entry) -> bytes:
        """An entry's content. Raises `CorruptArtifact`; `FileNotFoundError` if compacted away."""
        path = segment_path(entry.segment)
        data = self.files.read_part(path, entry.content_start, entry.length)
        if hashlib.sha256(data).digest() != entry.content_hash:
            raise CorruptArtifact(
                f"{path}: task {entry.task_id!r} at byte {entry.start}: {len(data)} bytes that do "
                f"not hash to {entry.content_hash.hex()}"
            )
        return data

    def read_current(self, task_id: str) -> bytes:
        """A task's current content. Raises `UnknownTask`, `CorruptArtifact` or `CorruptStore`."""
        return self._read_found(lambda: self.current.get(task_id), f"no task {task_id!r}")

    def read_version(self, task_id: str, content_hash: str) -> bytes:
        """A task's content of that hash, if no compaction has dropped it; reads all segments.

        Raises as `read_current` does.
        """
        unknown = f"no version {content_hash[:80]} of task {task_id!r}"
        return self._read_found(lambda: self._version(task_id, content_hash), unknown)

    def entries(self, segment: int) -> Iterator[Entry | Unreadable]:
        """Everything in a segment, in order, earlier versions too."""
        return self._scan(segment, len(SEGMENT_START), self._ends[segment])

    def torn_bytes(self, segment: int) -> int:
        """How many at a segment's end are the beginning of an entry and no more."""
        return self.files.size(segment_path(segment)) - self._ends[segment]

    def end(self, segment: int) -> int:
        """Where a segment's last whole entry ends, in bytes."""
        return self._ends[segment]

    def _read_found(self, find: Callable[[], Entry | None], unknown: str) -> bytes:
        while True:
            self.refresh()
            try:
                entry = find()
                if entry is None:
                    raise UnknownTask(unknown)
                return self.read(entry)
            except FileNotFoundError:
                # Compacted since; reading all anew says so, or names the segment that is missing.
                self._forget()

    def _version(self, task_id: str, content_hash: str) -> Entry | None:
        found: Entry | None = None
        for one in chain.from_iterable(map(self.entries, self.segments)):
            if isinstance(one, Unreadable) or one.task_id != task_id:
                continue
            if one.deletes:
                found = None
            elif one.content_hash.hex() == content_hash:
                found = one
        return found

    def _catch_up(self, listed: tuple[int, ...]) -> None:
        known = len(self.segments)
        if listed[:known] != self.segments:
            self._forget()
            known = 0
        self.segments = listed
        # Of those that are known only the last can have grown.
        for segment in listed[max(0, known - 1) :]:
            size = self.files.size(segment_path(segment))
            if segment not in self._ends:
                self._ends[segment] = self._checked_start(segment)
            for found in self._scan(segment, self._ends[segment], size):
                self._ends[segment] = found.end
                if isinstance(found, Unreadable):
                    self.unreadable.append(found)
                else:
                    self._take(found)

    def _take(self, entry: Entry) -> None:
        before = self.current.pop(entry.task_id, None)
        if before is not None:
            self.live_bytes -= before.end - before.start
        if not entry.deletes:
            self.live_bytes += entry.end - entry.start
            self.current[entry.task_id] = entry

    def _scan(self, segment: int, start: int, size: int) -> Iterator[Entry | Unreadable]:
        path = segment_path(segment)

        def part(start: int, length: int) -> bytes:
            return self.files.read_part(path, start, length)

        return scan(part, segment, start, size)

    def _checked_start(self, segment: int) -> int:
        path = segment_path(segment)
        start = self.files.read_part(path, 0, len(SEGMENT_START))
        if start != SEGMENT_START:
            raise CorruptStore(
                f"{path}: expected it to begin with {SEGMENT_START!r}, got {start!r}"
            )
        return len(start)

    def _missing(self, listed: tuple[int, ...]) -> str:
        there = self.files.names(SEGMENTS_FOLDER)
        paths = map(segment_path, listed)
        return next((path for path in paths if path.rpartition("/")[2] not in there), "a segment")


def _read_list(files: Files) -> SegmentList:
    try:
        return SegmentList.from_bytes(files.read(LIST_FILE))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CorruptStore(f"{LIST_FILE}: missing") from error
