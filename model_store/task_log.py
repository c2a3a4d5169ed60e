"""A store's segments read as one log: each task's current content, and its earlier ones.

Changes nothing. For one thread at a time, as its index is.
"""

from collections.abc import Callable, Collection, Iterator
from operator import itemgetter
from typing import TypeVar

from model_store.entry_names import beside_entry
from model_store.errors import CorruptArtifact, UnknownTask
from model_store.log_index import LogIndex
from model_store.segment_file import SEGMENT_START, Entry, Unreadable
from model_store.segment_list import segment_path

Result = TypeVar("Result")


class TaskLog(LogIndex):
    """The log as of its last `refresh`."""

    def current_entry(self, task_id: str) -> Entry | None:
        """A task's entry that counts; None where there is no such task.

        Raises `CorruptArtifact`, or `FileNotFoundError` where it was compacted away since the last
        `refresh`.
        """
        place = self.current.get(task_id)
        return None if place is None else self._reader.entry(task_id, place)

    def current_hash(self, task_id: str) -> str | None:
        """The hash of a task's current content; None where there is no such task."""

        def found() -> str | None:
            entry = self.current_entry(task_id)
            return None if entry is None else entry.content_hash.hex()

        return self.up_to_date(found)

    def read(self, entry: Entry) -> bytes:
        """An entry's content. Raises as `current_entry` does."""
        return self._reader.read(entry)

    def read_current(self, task_id: str) -> bytes:
        """A task's current content. Raises `UnknownTask`, `CorruptArtifact` or `CorruptStore`."""
        return self.up_to_date(
            lambda: self._read_found(self.current_entry(task_id), f"no task {task_id!r}")
        )

    def read_version(self, task_id: str, content_hash: str) -> bytes:
        """A task's content of that hash, where it is current or kept.

        Raises as `read_current` does.
        """
        unknown = f"no version {content_hash[:80]} of task {task_id!r}"

        def found() -> bytes:
            entry = self.current_entry(task_id)
            if entry is not None and entry.content_hash.hex() != content_hash:
                entry = self.current_entry(beside_entry(task_id, content_hash))
            return self._read_found(entry, unknown)

        return self.up_to_date(found)

    def contents(
        self, task_ids: Collection[str] | None = None
    ) -> Iterator[tuple[Entry, memoryview]]:
        """Current entries and contents of these tasks or of all, unchecked, in order of writing.

        Raises `FileNotFoundError` where others compact meanwhile, or `CorruptArtifact` where bytes
        change, and is to be begun again then.
        """
        self.refresh()
        if task_ids is None:
            places = tuple(self.current.items())
        else:
            found = ((task_id, self.current.get(task_id)) for task_id in task_ids)
            named = [(task_id, place) for task_id, place in found if place is not None]
            places = tuple(sorted(named, key=itemgetter(1)))
        try:
            yield from self._reader.contents(places)
        except (FileNotFoundError, CorruptArtifact):
            self.forget()
            raise

    def entries(self, segment: int) -> Iterator[Entry | Unreadable]:
        """Everything in a segment, in order, earlier versions too."""
        self.files.expect([(segment_path(segment), 0, self._ends[segment])])
        return self._reader.scan(segment, len(SEGMENT_START), self._ends[segment])

    def end(self, segment: int) -> int:
        """Where a segment's last whole entry ends, in bytes."""
        return self._ends[segment]

    def torn_bytes(self, segment: int) -> int:
        """How many at a segment's end are the beginning of an entry and no more."""
        return self._reader.size(segment) - self._ends[segment]

    def up_to_date(self, read: Callable[[], Result]) -> Result:
        """What is read of the log as it is now; read again where others compact meanwhile."""
        while True:
            self.refresh()
            try:
                return read()
            except FileNotFoundError:
                # Compacted since; reading all anew says so, or names the segment that is missing.
                self.forget()

    def _read_found(self, entry: Entry | None, unknown: str) -> bytes:
        if entry is None:
            raise UnknownTask(unknown)
        return self.read(entry)
