"""A store's segments read as one log: where each task's current entry lies. Changes nothing.

For one thread at a time; other processes append and compact meanwhile, and are caught up with.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

from model_store.errors import CorruptStore, UnknownTask
from model_store.files import Files
from model_store.segment_file import SEGMENT_START, Entry, Place, Unreadable
from model_store.segment_list import LIST_FILE, SEGMENTS_FOLDER, SegmentList, segment_path
from model_store.segment_reader import SegmentReader

Result = TypeVar("Result")


class TaskLog:
    """What the segments hold, as of the last `refresh`."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._reader = SegmentReader(files)
        self._forget()

    def _forget(self) -> None:
        self.segments: tuple[int, ...] = ()
        """Their numbers, in the order in which they were written."""
        self.current: dict[str, Place] = {}
        """Where each task's entry that counts lies, damaged ones too, in the order of writing."""
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

    def current_entry(self, task_id: str) -> Entry | None:
        """A task's entry that counts; None where there is no such task.

        Raises `CorruptArtifact`, or `FileNotFoundError` where it was compacted away since the last
        `refresh`.
        """
        place = self.current.get(task_id)
        return None if place is None else self._reader.entry(place)

    def current_hash(self, task_id: str) -> str | None:
        """The hash of a task's current content; None where there is no such task."""

        def found() -> str | None:
            entry = self.current_entry(task_id)
            return None if entry is None else entry.content_hash.hex()

        return self._up_to_date(found)

    def read(self, entry: Entry) -> bytes:
        """An entry's content. Raises as `current_entry` does."""
        return self._reader.read(entry)

    def read_current(self, task_id: str) -> bytes:
        """A task's current content. Raises `UnknownTask`, `CorruptArtifact` or `CorruptStore`."""
        return self._up_to_date(
            lambda: self._read_found(self.current_entry(task_id), f"no task {task_id!r}")
        )

    def read_version(self, task_id: str, content_hash: str) -> bytes:
        """A task's content of that hash, if no compaction has dropped it.

        One that is not current is looked for in all segments. Raises as `read_current` does.
        """
        unknown = f"no version {content_hash[:80]} of task {task_id!r}"
        return self._up_to_date(
            lambda: self._read_found(self._version(task_id, content_hash), unknown)
        )

    def contents(self) -> Iterator[tuple[Entry, memoryview]]:
        """Each task's current entry and content, unchecked, in the order of writing.

        Raises `FileNotFoundError` where others compact meanwhile, and is to be begun again then.
        """
        self.refresh()
        try:
            yield from self._reader.contents(tuple(self.current.items()))
        except FileNotFoundError:
            self._forget()
            raise

    def entries(self, segment: int) -> Iterator[Entry | Unreadable]:
        """Everything in a segment, in order, earlier versions too."""
        return self._reader.scan(segment, len(SEGMENT_START), self._ends[segment])

    def end(self, segment: int) -> int:
        """Where a segment's last whole entry ends, in bytes."""
        return self._ends[segment]

    def torn_bytes(self, segment: int) -> int:
        """How many at a segment's end are the beginning of an entry and no more."""
        return self._reader.size(segment) - self._ends[segment]

    def _up_to_date(self, read: Callable[[], Result]) -> Result:
        while True:
            self.refresh()
            try:
                return read()
            except FileNotFoundError:
                # Compacted since; reading all anew says so, or names the segment that is missing.
                self._forget()

    def _read_found(self, entry: Entry | None, unknown: str) -> bytes:
        if entry is None:
            raise UnknownTask(unknown)
        return self.read(entry)

    def _version(self, task_id: str, content_hash: str) -> Entry | None:
        found = self.current_entry(task_id)
        if found is None or found.content_hash.hex() == content_hash:
            return found
        found = None
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
            size = self._reader.size(segment)
            if segment not in self._ends:
                self._ends[segment] = self._reader.checked_start(segment)
            for found in self._reader.scan(segment, self._ends[segment], size):
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
            place = entry.place
            self.live_bytes += place.end - place.start
            self.current[entry.task_id] = place

    def _missing(self, listed: tuple[int, ...]) -> str:
        there = self.files.names(SEGMENTS_FOLDER)
        paths = map(segment_path, listed)
        return next((path for path in paths if path.rpartition("/")[2] not in there), "a segment")


def _read_list(files: Files) -> SegmentList:
    try:
        return SegmentList.from_bytes(files.read(LIST_FILE))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CorruptStore(f"{LIST_FILE}: missing") from error
