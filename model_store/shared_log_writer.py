"""Appends to a log in an object store and gathers its segments, while others do so as well.

A change is a new segment, and then a new list in the place of the one that it was decided on: who
comes second decides again. Takes no lock, and writes over nothing but the list.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from model_store.errors import StoreError
from model_store.log_writer import (
    COMPACTED_ABOVE_BYTES,
    SEGMENT_BYTES,
    Change,
    Result,
    live_segments,
    most_is_dead,
)
from model_store.segment_file import SEGMENT_START, frame
from model_store.segment_list import segment_path
from model_store.shared_files import SharedFiles
from model_store.shared_list import KEPT_SECONDS, Read, SharedList, turns, was_listed
from model_store.task_log import TaskLog

GATHERED_FROM = 64
"""So many segments at the end of the list become one."""


class SharedLogWriter:
    """For one thread at a time; others, on whatever machine, have writers of their own."""

    def __init__(
        self,
        log: TaskLog,
        files: SharedFiles,
        segment_bytes: int = SEGMENT_BYTES,
        compacted_above_bytes: int = COMPACTED_ABOVE_BYTES,
        gathered_from: int = GATHERED_FROM,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._log = log
        self._files = files
        self._list = SharedList(files, kept_seconds)
        self._segment_bytes = segment_bytes
        self._compacted_above_bytes = compacted_above_bytes
        self._gathered_from = gathered_from

    def change(self, decide: Callable[[], tuple[Sequence[Change], Result]]) -> Result:
        """As `Writer` has it; after an `OSError` the change may have been made, and may not."""
        written, before = None, None
        for _ in turns():
            read = self._caught_up()
            if written is not None and was_listed(written.number, before, read):
                listed = read.listed
                break
            changes, result = decide()
            if not changes:
                return result
            data = SEGMENT_START + b"".join(frame(*change) for change in changes)
            if written is None or written.data != data or not self._list.may_list(written):
                written, before = self._list.write(data, read), None
            if self._list.may_list(written):
                before, put = read, self._list.extend(read, written)
                if put is not None:
                    listed = put
                    break
        with suppress(OSError, StoreError):
            # What was asked for is done by now, and a log of many segments is whole.
            self._log.follow(listed)
            self._gather()
            if most_is_dead(self._log, self._compacted_above_bytes):
                self.compact_all()
        return result

    def compact_all(self) -> None:
        """Drop from the store what does not count any more.

        What is replaced stays for readers, and is removed by the next compaction half an hour on.
        """
        self._log.recheck()
        for _ in turns():
            before = self._log.segments
            if self._replace(before, live_segments(self._log, self._segment_bytes)):
                return
            self._log.refresh()

    def _caught_up(self) -> Read:
        """The list, with everything known that it lists."""
        for _ in turns():
            read = self._list.read()
            try:
                self._log.follow(read.listed)
                break
            except FileNotFoundError:
                # Others replaced segments since; or one is missing, and this says so.
                self._log.refresh()
        return read

    def _gather(self) -> None:
        """Make one of the segments at the list's end where they are many; all of it is kept."""
        run = self._run()
        if len(run) < self._gathered_from or self._log.unreadable:
            return
        parts = [(segment_path(one), len(SEGMENT_START), self._log.end(one)) for one in run]
        self._files.expect(parts)
        entries = (self._files.read_part(path, start, end - start) for path, start, end in parts)
        self._replace(run, [SEGMENT_START + b"".join(entries)])

    def _run(self) -> tuple[int, ...]:
        """The last segments, but for those that are larger than all behind them together.

        So each byte is gathered as often as the log doubled after it, and no more.
        """
        segments = self._log.segments
        start, total = len(segments), 0
        while start:
            size, many = self._log.end(segments[start - 1]), len(segments) - start
            if size + total > self._segment_bytes:
                break
            if many >= self._gathered_from - 1 and size > total:
                break
            start, total = start - 1, total + size
        return segments[start:]

    def _replace(self, old: tuple[int, ...], contents: Iterable[bytes]) -> bool:
        """List new segments in the place of those; False where others replaced them first."""
        written = [self._list.write(data, self._list.read()) for data in contents]
        new, before = tuple(one.number for one in written), None
        for _ in turns():
            read = self._list.read()
            if before is not None and was_listed(new[0], before, read):
                break
            at = _found(old, read.listed.numbers)
            if at is None or not all(map(self._list.may_list, written)):
                return False
            before = read
            if self._list.exchange(read, at, len(old), new) is not None:
                break
        self._log.refresh()
        if before is not None:
            self._list.collect({*self._log.segments, *old}, before.at)
        return True


def _found(run: tuple[int, ...], numbers: tuple[int, ...]) -> int | None:
    at = numbers.index(run[0]) if run and run[0] in numbers else 0
    return at if numbers[at : at + len(run)] == run else None
