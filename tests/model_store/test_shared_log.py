"""A log in an object store is what its changes make it, whoever makes them, and dies at it."""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import S3Store

from model_store.errors import UnknownTask
from model_store.log_writer import Change
from model_store.object_folder import ObjectFolder
from model_store.segment_file import DELETED, SEGMENT_START, Entry, Unreadable, frame
from model_store.segment_list import LIST_FILE, SEGMENTS_FOLDER, SegmentList, segment_path
from model_store.shared_files import Version
from model_store.shared_log_writer import SharedLogWriter
from model_store.task_log import TaskLog
from tests.faults import Faults
from tests.object_stores import FAULTS, PATIENCE_SECONDS, Fault, FaultyProxy, objects_at, s3_at

NewFiles = Callable[[], ObjectFolder]

NAMES = st.sampled_from(["a", "b", "c", "d"])
PUBLISH = st.tuples(st.just("publish"), NAMES, st.binary(max_size=60))
OTHER = st.tuples(st.sampled_from(["delete", "compact", "reopen"]), NAMES, st.just(b""))
STEPS = st.lists(st.tuples(st.integers(0, 1), PUBLISH | OTHER), max_size=15)


@pytest.fixture
def files(new_objects: NewFiles) -> ObjectFolder:
    return with_list(new_objects())


def with_list(files: ObjectFolder) -> ObjectFolder:
    files.write(LIST_FILE, SegmentList().to_bytes())
    return files


def again(files: ObjectFolder, endpoint: str, seconds: float = 20) -> ObjectFolder:
    """The same place for another, who remembers nothing of it."""
    _, _, prefix = str(files).rpartition("/")
    return objects_at(endpoint, prefix, seconds)


def opened(files: ObjectFolder) -> tuple[TaskLog, SharedLogWriter]:
    # Small enough for every few segments to be gathered, or compacted unasked.
    log = TaskLog(files)
    return log, SharedLogWriter(
        log, files, segment_bytes=900, compacted_above_bytes=1500, gathered_from=3
    )


def change(task_id: str, content: bytes) -> Change:
    return Change(task_id, hashlib.sha256(content).digest(), content)


def publish(writer: SharedLogWriter, task_id: str, content: bytes) -> None:
    writer.change(lambda: ([change(task_id, content)], None))


def delete(writer: SharedLogWriter, task_id: str) -> None:
    writer.change(lambda: ([Change(task_id, DELETED, b"")], None))


def held(log: TaskLog) -> dict[str, bytes]:
    log.refresh()
    return {task_id: log.read_current(task_id) for task_id in sorted(log.current)}


def written(log: TaskLog, task_id: str) -> list[bytes]:
    """Every version of the task that is in the log, in order."""
    log.refresh()
    entries = [one for segment in log.segments for one in log.entries(segment)]
    assert not [one for one in entries if isinstance(one, Unreadable)]
    found = [one for one in entries if isinstance(one, Entry) and one.task_id == task_id]
    return [log.read(entry) for entry in found]


@settings(max_examples=15)  # each step waits for the server
@given(STEPS)
def test_any_sequence_of_changes_by_two_writers_equals_a_dictionary(
    new_objects: NewFiles, s3_endpoint: str, steps: list[tuple[int, tuple[str, str, bytes]]]
) -> None:
    files = with_list(new_objects())
    logs = [opened(again(files, s3_endpoint)) for _ in range(2)]
    expected: dict[str, bytes] = {}
    for who, (what, task_id, content) in steps:
        log, writer = logs[who]
        if what == "reopen":
            logs[who] = opened(again(files, s3_endpoint))
        elif what == "publish":
            publish(writer, task_id, content)
            expected[task_id] = content
        elif what == "delete":
            delete(writer, task_id)
            expected.pop(task_id, None)
        else:
            writer.compact_all()
    for log, _ in [*logs, opened(files)]:
        assert held(log) == dict(sorted(expected.items()))
        assert log.live_bytes == sum(one.end - one.start for one in log.current.values())


def test_gathering_keeps_every_version_and_few_segments(files: ObjectFolder) -> None:
    log = TaskLog(files)
    writer = SharedLogWriter(log, files, gathered_from=4)
    versions = [b"%d" % turn * 9 for turn in range(40)]
    for version in versions:
        publish(writer, "a", version)
        assert len(log.segments) < 4 + 6
    assert written(TaskLog(files), "a") == versions


def test_reader_who_is_behind_reads_what_was_gathered_without_beginning_again(
    files: ObjectFolder, s3_endpoint: str
) -> None:
    log = TaskLog(files)
    writer = SharedLogWriter(log, files, gathered_from=4)
    publish(writer, "large", bytes(5000))
    reader = TaskLog(again(files, s3_endpoint))
    assert held(reader).keys() == {"large"}
    reader.take_touched()
    for turn in range(30):
        publish(writer, f"task-{turn % 5}", b"%d" % turn)
        if turn == 20:
            delete(writer, "task-0")
        if turn % 3 == 0:
            assert held(reader) == held(log)
            touched = reader.take_touched()
            # None would be all of them, the large one that lies in front included.
            assert touched is not None
            assert "large" not in touched
    assert log.segments[0] == 1


def test_deletion_is_seen_across_a_compaction_by_one_who_read_before(
    files: ObjectFolder, s3_endpoint: str
) -> None:
    log, writer = opened(files)
    reader = TaskLog(again(files, s3_endpoint))
    publish(writer, "a", b"1")
    publish(writer, "b", b"2")
    assert held(reader).keys() == {"a", "b"}
    delete(writer, "a")
    writer.compact_all()
    assert held(reader) == held(log) == {"b": b"2"}


def test_publishers_at_once_lose_nothing_and_one_of_them_was_first(
    files: ObjectFolder, s3_endpoint: str
) -> None:
    """Each adds one to the same number; so a single lost update shows."""

    def add(who: int) -> list[str]:
        log, writer = opened(again(files, s3_endpoint))
        created = []
        for turn in range(6):
            name = f"task-{turn}"

            def decided(name: str = name) -> tuple[list[Change], bool]:
                entry = log.current_entry("sum")
                before = 0 if entry is None else int(log.read(entry))
                changes = [change("sum", b"%d" % (before + 1)), change(name, b"%d" % who)]
                return changes, name not in log.current

            if writer.change(decided):
                created.append(name)
        return created

    with ThreadPoolExecutor(4) as threads:
        created = [name for names in threads.map(add, range(4)) for name in names]
    assert sorted(created) == [f"task-{turn}" for turn in range(6)]
    assert held(TaskLog(files))["sum"] == b"24"


def test_compactions_publishers_and_a_reader_at_once_go_forward_only(
    files: ObjectFolder, s3_endpoint: str
) -> None:
    publish(opened(files)[1], "a", b"0")
    done = threading.Event()

    def compact() -> int:
        _, writer = opened(again(files, s3_endpoint))
        for turns in count():
            if done.is_set():
                return turns
            writer.compact_all()
        raise AssertionError("unreachable: count() does not end")

    def read() -> list[int]:
        log = TaskLog(again(files, s3_endpoint))
        seen = []
        while not done.is_set():
            log.refresh()
            seen.append(int(log.read_current("a")))
        return seen

    with ThreadPoolExecutor(2) as threads:
        compacting, reading = threads.submit(compact), threads.submit(read)
        try:
            _, writer = opened(again(files, s3_endpoint))
            for version in range(1, 25):
                publish(writer, "a", b"%d" % version)
                publish(writer, f"other-{version}", b"?" * 40)
        finally:
            done.set()
        seen = reading.result()
        assert seen == sorted(seen)
        assert len(set(seen)) > 2
        assert compacting.result() > 1
    assert held(TaskLog(again(files, s3_endpoint))).keys() == {
        "a",
        *(f"other-{version}" for version in range(1, 25)),
    }


class Killed(BaseException):
    """The process is gone: nothing of it runs after this, so no handler of an error sees it."""


class DyingObjects(ObjectFolder):
    """Whose writer dies at its n-th change: before it is done, or before the answer comes."""

    def __init__(self, url: str, objects: S3Store, changes: int, done: bool) -> None:
        super().__init__(url, objects)
        self.left, self.done = changes, done

    def create(self, path: str, data: bytes) -> bool:
        return self._live(partial(super().create, path, data))

    def replace(self, path: str, data: bytes, version: Version) -> bool:
        return self._live(partial(super().replace, path, data, version))

    def _live(self, change: Callable[[], bool]) -> bool:
        if self.left == 0:
            if self.done:
                change()
            raise Killed
        self.left -= 1
        return change()


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", ["publish", "replace", "delete", "gather", "compact"])
def test_writer_who_dies_at_any_change_leaves_all_of_it_or_none(
    new_objects: NewFiles, s3_endpoint: str, what: str, done: bool
) -> None:
    for changes in count():
        files = with_list(new_objects())
        _, writer = opened(files)
        before = {"a": b"1", "b": b"2"}
        publish(writer, "gone", b"0")
        writer.change(lambda: ([change("a", b"1"), change("b", b"2")], None))
        if what in ("gather", "compact"):
            delete(SharedLogWriter(TaskLog(files), files), "gone")
            after = before | {"c": b"3"} if what == "gather" else before
        else:
            delete(writer, "gone")
            other = {"publish": {"c": b"3"}, "replace": {"a": b"3"}, "delete": {}}[what]
            after = before | other
            if what == "delete":
                del after["a"]
        there = s3_at(s3_endpoint, str(files).rpartition("/")[2])
        _, dying = opened(DyingObjects(str(files), there, changes, done))
        try:
            if what == "compact":
                dying.compact_all()
            elif what == "delete":
                delete(dying, "a")
            else:
                publish(dying, "a" if what == "replace" else "c", b"3")
        except Killed:
            found = held(TaskLog(again(files, s3_endpoint)))
            assert found in (before, after)
            publish(opened(again(files, s3_endpoint))[1], "after", b"4")
            assert held(TaskLog(files)) == dict(sorted((found | {"after": b"4"}).items()))
        else:
            assert held(TaskLog(files)) == after
            assert changes >= 2
            return


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_answer_goes_wrong_a_publish_counts_once_or_is_not_acknowledged(
    new_objects: NewFiles, s3_endpoint: str, fault: Fault
) -> None:
    acknowledged = 0
    with FaultyProxy(s3_endpoint) as proxy:
        for nth in count():
            files = with_list(new_objects())
            publish(SharedLogWriter(TaskLog(files), files), "a", b"before")
            far = again(files, proxy.endpoint, PATIENCE_SECONDS)
            log = TaskLog(far)
            log.refresh()
            proxy.begin({nth: fault}.get)
            try:
                publish(SharedLogWriter(log, far), "a", b"new")
                said = True
                acknowledged += 1
            except OSError:
                said = False
            versions = written(TaskLog(files), "a")
            assert versions[-1] == b"new" or not said
            assert versions in ([b"before"], [b"before", b"new"])
            if nth >= len(proxy.requests):
                break
    # One fault is survived wherever it strikes: by the client's own second try, or by looking.
    assert acknowledged == nth + 1 >= 4


class LostAnswers(ObjectFolder):
    """Whose first change of the list is made, though no answer comes before others went on."""

    def __init__(self, url: str, objects: S3Store, meanwhile: Callable[[], None]) -> None:
        super().__init__(url, objects)
        self._meanwhile: Callable[[], None] | None = meanwhile

    def replace(self, path: str, data: bytes, version: Version) -> bool:
        replaced = super().replace(path, data, version)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is None:
            return replaced
        meanwhile()
        raise OSError("no answer")


def test_publish_that_others_replaced_and_gathered_before_its_answer_was_missed_counts_once(
    files: ObjectFolder, s3_endpoint: str
) -> None:
    def go_on() -> None:
        _, writer = opened(again(files, s3_endpoint))
        publish(writer, "a", b"later")
        for turn in range(4):
            publish(writer, "b", b"%d" % turn)

    far = LostAnswers(str(files), s3_at(s3_endpoint, str(files).rpartition("/")[2]), go_on)
    log = TaskLog(far)
    publish(SharedLogWriter(log, far), "a", b"mine")
    assert SegmentList.read(files).gathered
    assert written(TaskLog(files), "a") == [b"mine", b"later"]


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
def test_two_publishers_over_a_bad_line_lose_nothing_that_was_acknowledged(
    files: ObjectFolder, s3_endpoint: str, seed: int, faults: Faults
) -> None:
    dice = random.Random(seed)
    plan = [dice.choice(FAULTS) if dice.random() < 0.15 else None for _ in range(10_000)]

    def work(who: int) -> list[str]:
        _, writer = opened(again(files, proxy.endpoint, PATIENCE_SECONDS))
        said = []
        for turn in range(12):
            name = f"{who}-{turn}"
            try:
                publish(writer, name, name.encode())
                said.append(name)
                if turn % 4 == 3:
                    writer.compact_all()
            except OSError as error:
                print(f"not acknowledged: {error}")
        return said

    with FaultyProxy(s3_endpoint) as proxy, ThreadPoolExecutor(2) as threads:
        proxy.begin(lambda number: plan[number])
        said = [name for names in threads.map(work, range(2)) for name in names]
    found = held(TaskLog(again(files, s3_endpoint)))
    faults.add(
        "Object store",
        f"lost, late and spoilt answers to two publishers at once ({seed})",
        times=sum(fault is not None for fault in plan[: len(proxy.requests)]),
        checked=len(said),
        of="acknowledged tasks",
        lost=len(set(said) - set(found)),
    )
    assert len(said) > 12
    assert set(said) <= set(found)
    assert all(content == name.encode() for name, content in found.items())


def test_segments_that_no_list_names_are_removed_once_nobody_can_be_about_to_list_them(
    files: ObjectFolder,
) -> None:
    log = TaskLog(files)
    writer = SharedLogWriter(log, files, kept_seconds=2.0)
    left = segment_path(7)
    assert files.create(left, SEGMENT_START + frame(*change("a", b"of a publisher who died")))
    publish(writer, "a", b"1")
    writer.compact_all()
    assert left.rpartition("/")[2] in files.names(SEGMENTS_FOLDER)
    time.sleep(3.1)  # the server says when a segment was written, to the second
    publish(writer, "a", b"2")
    writer.compact_all()
    assert left.rpartition("/")[2] not in files.names(SEGMENTS_FOLDER)
    assert held(TaskLog(files)) == {"a": b"2"}


def test_segment_whose_writer_took_too_long_is_written_anew_before_it_is_listed(
    files: ObjectFolder,
) -> None:
    """Others may have taken it for left over, or its number for one that was never used."""
    log = TaskLog(files)
    slow = SharedLogWriter(log, files, kept_seconds=1.0)
    other = SharedLogWriter(TaskLog(files), files)

    def decided() -> Iterator[tuple[list[Change], None]]:
        publish(other, "b", b"1")
        yield [change("a", b"1")], None
        time.sleep(0.6)
        yield [change("a", b"1")], None
        yield [change("a", b"1")], None

    decisions = decided()
    slow.change(lambda: next(decisions))
    listed = SegmentList.read(files).numbers
    assert listed == (1, 4)
    assert [n for n in range(1, 5) if not files.create(segment_path(n), b"")] == [1, 2, 3, 4]
    assert held(TaskLog(files)) == {"a": b"1", "b": b"1"}


def test_what_is_decided_on_and_refused_changes_nothing(files: ObjectFolder) -> None:
    _, writer = opened(files)

    def refused() -> tuple[list[Change], None]:
        raise UnknownTask("no task")

    before = files.read(LIST_FILE)
    with pytest.raises(UnknownTask):
        writer.change(refused)
    assert files.read(LIST_FILE) == before
