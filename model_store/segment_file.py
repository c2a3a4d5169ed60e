"""A segment file: a line that says its format, then framed entries, one a publish or a delete.

Only ever appended to. What a writer who died left at its end is passed over, and so is damage.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from model_store.entry_names import LONGEST_NAME, checked_entry_name
from model_store.errors import InvalidTaskName

SEGMENT_START = b"impress segments 1\n"
"""The first bytes of every segment."""

DELETED = b"\x00" * 32
"""In the place of a content hash: the task is deleted."""

Part = Callable[[int, int], bytes]
"""So many bytes of a segment from an offset; fewer where it ends before."""

_FRONT, _BACK = b"\x89tsk", b"\x98tsk"
_MARK = re.compile(rb"[\x89\x98]tsk")
_HEAD = struct.Struct("<4s32sQB")
_CHECKSUM = struct.Struct("<I")
_LONGEST_HEAD = _HEAD.size + LONGEST_NAME + _CHECKSUM.size
_WINDOW_BYTES = 1 << 16


class Place(NamedTuple):
    """Where an entry's frame lies: its segment's number, and bytes from and to there."""

    segment: int
    start: int
    end: int


class Entry(NamedTuple):
    """One change to one task, whole by its heads; its content is for the reader to hash."""

    task_id: str
    """The task's, or of what is kept beside it: see `entry_names`."""
    content_hash: bytes
    """SHA-256 of the content, 32 bytes; `DELETED` where the task was deleted."""
    segment: int
    """The number of the segment that it lies in."""
    start: int
    """Where the entry's frame begins in the segment, in bytes."""
    length: int
    """Bytes of the content."""

    @property
    def content_start(self) -> int:
        """Where the content begins in the segment."""
        return self.start + head_bytes(self.task_id)

    @property
    def end(self) -> int:
        """Where the frame ends in the segment."""
        return self.start + 2 * head_bytes(self.task_id) + self.length

    @property
    def place(self) -> Place:
        """Where its frame lies."""
        return Place(self.segment, self.start, self.end)

    @property
    def deletes(self) -> bool:
        """Whether the task was deleted."""
        return self.content_hash == DELETED


class Unreadable(NamedTuple):
    """Bytes that are no entry, and of which nothing says whose they were."""

    segment: int
    start: int
    end: int


def head_bytes(task_id: str) -> int:
    """How many bytes each of the two heads of a task's frame takes."""
    return _HEAD.size + len(task_id) + _CHECKSUM.size


def frame(task_id: str, content_hash: bytes, content: bytes | memoryview) -> bytes:
    """An entry's frame: a head, the content, and the head again.

    A head has a checksum of its own, so damage to the content leaves its length known, and damage
    to one head leaves the other.
    """
    front, back = (_head(mark, task_id, content_hash, len(content)) for mark in (_FRONT, _BACK))
    return b"".join((front, content, back))


def scan(part: Part, segment: int, start: int, size: int) -> Iterator[Entry | Unreadable]:
    """Everything in the segment's bytes from `start` to `size`, in order, contents unread.

    Ends before what is the beginning of a frame and no more: a torn tail, or an append under way.
    """
    window, window_start = b"", start
    while start < size:
        if window_start + len(window) < min(start + _LONGEST_HEAD, size):
            window, window_start = part(start, min(_WINDOW_BYTES, size - start)), start
        entry = entry_at(window, start - window_start, segment, start)
        if entry is None:
            found = _next(part(start, size - start), segment, start)
            if found is None:
                return
            yield from found
            start = found[-1].end
        elif entry.end > size:
            return
        else:
            yield entry
            start = entry.end


def entry_at(data: bytes, at: int, segment: int, start: int) -> Entry | None:
    """The entry whose first head is at `at` of these bytes, and in the segment at `start`.

    None where that head is damaged or there is none.
    """
    parsed = _parsed(data, at)
    if parsed is None or parsed[0] != _FRONT:
        return None
    return Entry(parsed[1], parsed[2], segment, start, parsed[3])


def heads_are_whole(framed: bytes, entry: Entry) -> bool:
    """Whether both heads of an entry's frame are what they were written as."""
    return framed == frame(
        entry.task_id,
        entry.content_hash,
        framed[head_bytes(entry.task_id) : head_bytes(entry.task_id) + entry.length],
    )


def _head(mark: bytes, task_id: str, content_hash: bytes, length: int) -> bytes:
    head = _HEAD.pack(mark, content_hash, length, len(task_id)) + task_id.encode("ascii")
    return head + _CHECKSUM.pack(zlib.crc32(head))


def _parsed(data: bytes, at: int) -> tuple[bytes, str, bytes, int] | None:
    """Mark, task, hash and content's length of the head at `at`; None where there is none."""
    if at + _HEAD.size > len(data):
        return None
    mark, content_hash, length, named = _HEAD.unpack_from(data, at)
    end = at + _HEAD.size + named
    if mark not in (_FRONT, _BACK) or end + _CHECKSUM.size > len(data):
        return None
    if zlib.crc32(data[at:end]) != _CHECKSUM.unpack_from(data, end)[0]:
        return None
    try:
        task_id = checked_entry_name(data[end - named : end].decode("ascii", "replace"))
    except InvalidTaskName:
        return None
    return mark, task_id, content_hash, length


def _next(rest: bytes, segment: int, start: int) -> tuple[Unreadable | Entry, ...] | None:
    """What follows a damaged head: its entry by the other head, or bytes up to the next entry.

    None where the rest is a torn tail: too short for a head, or never written.
    """
    for mark_found in _MARK.finditer(rest, 1):
        at = mark_found.start()
        parsed = _parsed(rest, at)
        if parsed is None:
            continue
        mark, task_id, content_hash, length = parsed
        if mark == _FRONT:
            return (Unreadable(segment, start, start + at),)
        before = at - length - head_bytes(task_id)
        if before < 0:
            continue
        entry = Entry(task_id, content_hash, segment, start + before, length)
        return (Unreadable(segment, start, entry.start), entry) if before else (entry,)
    if len(rest) < _LONGEST_HEAD or not rest.strip(b"\x00"):
        return None
    return (Unreadable(segment, start, start + len(rest)),)
