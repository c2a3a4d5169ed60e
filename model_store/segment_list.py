"""Which segments a store is made of, in order: the one small file whose replacement is a change.

A segment that it does not name is no part of the store, whatever lies in the folder.
"""

import json
import re
import zlib
from dataclasses import dataclass

from model_store.errors import CorruptStore
from model_store.files import Files

SEGMENTS_FOLDER = "segments"
LIST_FILE = f"{SEGMENTS_FOLDER}/list.json"

_VERSION = 1
_SEGMENT = re.compile(r"[0-9]{8,}\.seg")


@dataclass(frozen=True)
class SegmentList:
    """The segments' numbers, in the order in which they count. None is ever used again."""

    numbers: tuple[int, ...] = ()
    gathered: tuple[int, ...] = ()
    """Numbers that were listed once, the latest ones, whose content is in listed ones now. Only
    kept where publishers do not wait for each other, to tell what became of their segments."""

    @property
    def next_number(self) -> int:
        """The number of the next segment."""
        return max(self.numbers, default=0) + 1

    def to_bytes(self) -> bytes:
        """One line of JSON, with a checksum of the numbers."""
        said = {"version": _VERSION, "segments": self.numbers, "crc32": _checksum(self.numbers)}
        if self.gathered:
            said["gathered"] = self.gathered
        return json.dumps(said).encode() + b"\n"

    @classmethod
    def read(cls, files: Files) -> "SegmentList":
        """The store's list as it is now. Raises `CorruptStore`."""
        try:
            return cls.from_bytes(files.read(LIST_FILE))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CorruptStore(f"{LIST_FILE}: missing") from error

    @classmethod
    def from_bytes(cls, data: bytes) -> "SegmentList":
        """Parse. Raises `CorruptStore`."""
        try:
            said = json.loads(data)
            version, numbers, checksum = said["version"], said["segments"], said["crc32"]
            gathered = said.get("gathered", ())
            found = cls(tuple(map(int, numbers)), tuple(map(int, gathered)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptStore(
                f"{LIST_FILE}: expected a list of segments, got {data[:80]!r}"
            ) from error
        if version != _VERSION:
            raise CorruptStore(f"{LIST_FILE}: expected version {_VERSION}, got {version!r}"[:500])
        if checksum != _checksum(found.numbers):
            raise CorruptStore(f"{LIST_FILE}: its numbers do not have the checksum it says")
        return found


def segment_path(number: int) -> str:
    """Where a segment lies, relative to the store."""
    return f"{SEGMENTS_FOLDER}/{number:08}.seg"


def _checksum(numbers: tuple[int, ...]) -> int:
    return zlib.crc32(",".join(map(str, numbers)).encode())


def is_segment(name: str) -> bool:
    """Whether a file of that name in the segments' folder is a segment, listed or left over."""
    return _SEGMENT.fullmatch(name) is not None
