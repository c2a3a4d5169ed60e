"""Reads entries and their contents from segments by place. Remembers nothing, changes nothing."""

import hashlib
from collections.abc import Collection, Iterator
from functools import partial

from model_store.errors import CorruptArtifact, CorruptStore
from model_store.files import Files
from model_store.segment_file import (
    SEGMENT_START,
    Entry,
    Part,
    Place,
    Unreadable,
    entry_at,
    scan,
)
from model_store.segment_list import segment_path

_WINDOW_BYTES = 1 << 20


class SegmentReader:
    """Every call raises `FileNotFoundError` where the segment is gone: compacted, or lost."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def size(self, segment: int) -> int:
        """The segment's length in bytes, whatever they are."""
        return self._files.size(segment_path(segment))

    def checked_start(self, segment: int) -> int:
        """Where its first entry begins. Raises `CorruptStore` where it is no segment we know."""
        path = segment_path(segment)
        start = self._files.read_part(path, 0, len(SEGMENT_START))
        if start != SEGMENT_START:
            raise CorruptStore(
                f"{path}: expected it to begin with {SEGMENT_START!r}, got {start!r}"
            )
        return len(start)

    def scan(self, segment: int, start: int, end: int) -> Iterator[Entry | Unreadable]:
        """Everything in a segment from one byte to another, in order."""
        return scan(self._part(segment), segment, start, end)

    def entry(self, task_id: str, place: Place) -> Entry:
        """The task's entry that lies there, by either of its heads. Raises `CorruptArtifact`."""
        return _entry(self._part(place.segment), task_id, place)

    def read(self, entry: Entry) -> bytes:
        """An entry's content. Raises `CorruptArtifact`."""
        content = self._files.read_part(
            segment_path(entry.segment), entry.content_start, entry.length
        )
        check_content(entry, content)
        return content

    def contents(self, places: Collection[tuple[str, Place]]) -> Iterator[tuple[Entry, memoryview]]:
        """The tasks' entries with their contents, unchecked; quick where the places ascend.

        An entry has the very name that came with its place, so that nobody comes to keep another.
        Raises `CorruptArtifact` where a place holds another entry now, or none.
        """
        window, segment, start = b"", 0, 0
        self._files.expect(
            (segment_path(place.segment), place.start, place.end) for _, place in places
        )

        def part(at: int, length: int) -> bytes:
            return window[at - start : at - start + length]

        for task_id, place in places:
            if place.segment != segment or place.end > start + len(window):
                segment, start = place.segment, place.start
                length = max(place.end - start, _WINDOW_BYTES)
                window = self._files.read_part(segment_path(segment), start, length)
            found = entry_at(window, place.start - start, segment, place.start)
            if found is None or found.task_id != task_id or found.end != place.end:
                found = _entry(part, task_id, place)
            entry = Entry(task_id, *found[1:])
            at = entry.content_start - start
            yield entry, memoryview(window)[at : at + entry.length]

    def _part(self, segment: int) -> Part:
        return partial(self._files.read_part, segment_path(segment))


def check_content(entry: Entry, content: bytes | memoryview) -> None:
    """Raise `CorruptArtifact` where the content is not what was published."""
    if hashlib.sha256(content).digest() != entry.content_hash:
        raise CorruptArtifact(
            f"{segment_path(entry.segment)}: task {entry.task_id!r} at byte {entry.start}: "
            f"{len(content)} bytes that do not hash to {entry.content_hash.hex()}"
        )


def _entry(part: Part, task_id: str, place: Place) -> Entry:
    found = next(scan(part, *place), None)
    if isinstance(found, Entry) and found.task_id == task_id and found.place == place:
        return found
    where = f"{segment_path(place.segment)}: byte {place.start}"
    raise CorruptArtifact(f"{where}: an entry that was there is damaged")
