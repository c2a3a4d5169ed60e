"""Which entries of a store's segments count, and where they lie. Reads no contents.

For one thread at a time; other processes append and compact meanwhile, and are caught up with.
"""

from itertools import takewhile

from model_store.entry_names import beside_entry, is_task, parted
from model_store.errors import CorruptStore
from model_store.files import Files
from model_store.places import Places
from model_store.segment_file import Entry, Unreadable
from model_store.segment_list import SEGMENTS_FOLDER, SegmentList, segment_path
from model_store.segment_reader import SegmentReader
from model_store.segment_watch import SegmentWatch


class LogIndex:
    """What the segments hold, as of the last `refresh`."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._reader = SegmentReader(files)
        self._watch = SegmentWatch(files)
        self.forget()

    def forget(self) -> None:
        """Read everything anew the next time."""
        self.segments: tuple[int, ...] = ()
        """Their numbers, in the order in which they were written."""
        self.current = Places()
        """Where each task's entry that counts lies, damaged ones too, in the order of writing."""
        self.beside: dict[str, dict[str, None]] = {}
        """What is kept beside each task that has anything, in the order of writing."""
        self.unreadable: list[Unreadable] = []
        self.live_bytes = 0
        """Of the current entries, their heads included."""
        self._ends: dict[int, int] = {}
        self._touched: set[str] | None = None
        self._watch.forget()
        self.files.forget()

    @property
    def whole_bytes(self) -> int:
        """Of all segments, without torn tails."""
        return sum(self._ends.values())

    def refresh(self) -> None:
        """Catch up with what was appended or compacted since; reads only what is new.

        What was read before is trusted, unless files were replaced or are shorter: see `recheck`.
        Raises `CorruptStore`.
        """
        while True:
            listed = SegmentList.read(self.files)
            try:
                self.follow(listed)
            except FileNotFoundError as error:
                # Another process may have compacted since the list was read.
                if SegmentList.read(self.files).numbers == listed.numbers:
                    missing = self._missing(listed.numbers)
                    raise CorruptStore(f"{missing}: missing, but listed") from error
            else:
                return

    def follow(self, listed: SegmentList) -> None:
        """Catch up with that list, which the store had a moment ago.

        Raises `FileNotFoundError` where it has no longer what is listed, or `CorruptStore`.
        """
        try:
            self._catch_up(listed)
        except BaseException:
            self.forget()
            raise

    def recheck(self) -> None:
        """Refresh, and where a byte that was read before has changed, read everything anew.

        What the log says is then what one that is opened now would say. Raises `CorruptStore`.
        """
        self.files.forget()
        self.refresh()
        try:
            stands = all(map(self._watch.stands, self.segments))
        except FileNotFoundError:
            stands = False
        if not stands:
            self.forget()
            self.refresh()

    def take_touched(self) -> set[str] | None:
        """Tasks with entries that were read since this was last called; None: any may be."""
        touched, self._touched = self._touched, set()
        return touched

    def _catch_up(self, listed: SegmentList) -> None:
        if not self._is_prefix_of(listed) or not all(map(self._goes_on, self.segments)):
            self.forget()
        known = len(self.segments)
        self.segments = listed.numbers
        if self.files.segments_grow:
            # Of those that are known the last can have grown.
            known = max(0, known - 1)
        new = listed.numbers[known:]
        self.files.expect((path, 0, self.files.size(path)) for path in map(segment_path, new))
        for segment in new:
            may_grow = self.files.segments_grow and segment == listed.numbers[-1]
            size = self._watch.see(segment, may_grow)
            if segment not in self._ends:
                self._ends[segment] = self._reader.checked_start(segment)
            for found in self._reader.scan(segment, self._ends[segment], size):
                self._ends[segment] = found.end
                if isinstance(found, Unreadable):
                    self.unreadable.append(found)
                else:
                    self._take(found)

    def _is_prefix_of(self, listed: SegmentList) -> bool:
        """Whether the list begins with what was read, less what is gathered in others since.

        Nothing was lost by gathering, so that reading those others tells no more than where the
        entries lie now. A compaction that drops anything replaces the first segment, too.
        """
        pairs = zip(self.segments, listed.numbers, strict=False)
        kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        replaced = self.segments[kept:]
        if replaced and (not kept or set(replaced) - {*listed.numbers, *listed.gathered}):
            return False
        self.segments = self.segments[:kept]
        for segment in replaced:
            del self._ends[segment]
            self._watch.drop(segment)
        if replaced:
            self.unreadable = [one for one in self.unreadable if one.segment not in replaced]
        return True

    def _goes_on(self, segment: int) -> bool:
        # More bytes may show that what was no entry, at the very end, holds the beginning of one.
        last = self.unreadable[-1] if self.unreadable else None
        open_end = last is not None and (last.segment, last.end) == (segment, self._ends[segment])
        may_grow = self.files.segments_grow and segment == self.segments[-1] and not open_end
        return self._watch.goes_on(segment, may_grow)

    def _take(self, entry: Entry) -> None:
        name = entry.task_id
        self._forget_entry(name)
        if not entry.deletes:
            place = entry.place
            self.live_bytes += place.end - place.start
            self.current[name] = place
            if not is_task(name):
                task_id, beside = parted(name)
                self.beside.setdefault(task_id, {})[beside] = None
        elif name in self.beside:
            for one in tuple(self.beside[name]):
                self._forget_entry(beside_entry(name, one))

    def _forget_entry(self, name: str) -> None:
        if self._touched is not None:
            self._touched.add(name)
        before = self.current.pop(name, None)
        if before is None:
            return
        self.live_bytes -= before.end - before.start
        if not is_task(name):
            task_id, beside = parted(name)
            others = self.beside[task_id]
            del others[beside]
            if not others:
                del self.beside[task_id]

    def _missing(self, listed: tuple[int, ...]) -> str:
        there = self.files.names(SEGMENTS_FOLDER)
        paths = map(segment_path, listed)
        return next((path for path in paths if path.rpartition("/")[2] not in there), "a segment")
