"""The log as a dictionary: whatever is done to it, by whom, and however often it is opened."""

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.files import LocalFolder
from model_store.log_writer import Change, LogWriter
from model_store.segment_file import DELETED
from model_store.segment_list import LIST_FILE, SegmentList, segment_path
from model_store.task_log import TaskLog

NAMES = st.sampled_from(["a", "b", "c", "d"])
PUBLISH = st.tuples(st.just("publish"), NAMES, st.binary(max_size=60))
OTHER = st.tuples(st.sampled_from(["delete", "compact", "reopen"]), NAMES, st.just(b""))
WRITERS = st.integers(0, 1)
STEPS = st.lists(st.tuples(WRITERS, PUBLISH | OTHER), max_size=15)


def opened(folder: Path) -> tuple[TaskLog, LogWriter]:
    # Small enough for every few entries to fill a segment, or to be compacted unasked.
    log = TaskLog(LocalFolder(folder))
    return log, LogWriter(log, segment_bytes=400, compacted_above_bytes=900)


def new_log(folder: Path) -> Path:
    LocalFolder(folder).write(LIST_FILE, SegmentList().to_bytes())
    return folder


def change(task_id: str, content: bytes) -> Change:
    return Change(task_id, hashlib.sha256(content).digest(), content)


def held(log: TaskLog) -> dict[str, bytes]:
    log.refresh()
    return {task_id: log.read_current(task_id) for task_id in sorted(log.current)}


@settings(max_examples=40)  # each step waits for the disk
@given(STEPS)
def test_any_sequence_of_changes_by_two_writers_equals_a_dictionary(
    steps: list[tuple[int, tuple[str, str, bytes]]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = new_log(Path(name))
        logs = [opened(folder), opened(folder)]
        expected: dict[str, bytes] = {}
        for who, (what, task_id, content) in steps:
            log, writer = logs[who]
            if what == "reopen":
                logs[who] = opened(folder)
                continue
            with writer.changing():
                if what == "publish":
                    writer.append([change(task_id, content)])
                    expected[task_id] = content
                elif what == "delete":
                    writer.append([Change(task_id, DELETED, b"")])
                    expected.pop(task_id, None)
                else:
                    writer.compact()
            assert held(log) == dict(sorted(expected.items()))
        for log, _ in [*logs, opened(folder)]:
            assert held(log) == dict(sorted(expected.items()))
            assert log.live_bytes == sum(one.end - one.start for one in log.current.values())


def test_reader_keeps_up_with_appends_and_compactions_of_another(tmp_path: Path) -> None:
    folder = new_log(tmp_path)
    reader, (log, writer) = TaskLog(LocalFolder(folder)), opened(folder)
    for turn in range(40):
        with writer.changing():
            writer.append([change(f"task-{turn % 7}", b"%d" % turn * 30)])
        if turn % 5 == 0:
            assert held(reader) == held(log)
    assert max(reader.segments) > len(reader.segments) > 1


def test_entry_read_after_another_compacted_is_the_same(tmp_path: Path) -> None:
    folder = new_log(tmp_path)
    (reader, _), (_, writer) = opened(folder), opened(folder)
    with writer.changing():
        writer.append([change("a", b"first")])
        writer.append([change("a", b"second")])
    reader.refresh()
    with writer.changing():
        writer.compact()
    assert reader.read_current("a") == b"second"


def test_nothing_is_appended_behind_a_torn_tail(tmp_path: Path) -> None:
    log, writer = opened(new_log(tmp_path))
    with writer.changing():
        writer.append([change("a", b"content")])
    path = tmp_path / segment_path(1)
    path.write_bytes(path.read_bytes() + path.read_bytes()[19:40])
    with writer.changing():
        writer.append([change("b", b"content")])
    assert list(log.segments) == [1, 2]
    assert log.torn_bytes(1) == 21
    assert held(opened(tmp_path)[0]) == {"a": b"content", "b": b"content"}
    with writer.changing():
        writer.compact()
    assert list(log.segments) == [3]
    assert [path.name for path in (tmp_path / "segments").glob("*.seg")] == ["00000003.seg"]


def test_unreadable_bytes_keep_a_log_from_being_compacted_unasked(tmp_path: Path) -> None:
    log, writer = opened(new_log(tmp_path))
    with writer.changing():
        writer.append([change("a", b"content")])
    path = tmp_path / segment_path(1)
    path.write_bytes(path.read_bytes() + b"?" * 400)
    for turn in range(30):
        with writer.changing():
            writer.append([change("b", b"%d" % turn * 30)])
    assert len(log.unreadable) == 1
    assert 2 * log.live_bytes < log.whole_bytes
    with writer.changing():
        writer.compact()
    assert log.unreadable == []
    assert held(log).keys() == {"a", "b"}


def test_contents_are_begun_again_where_another_compacts_meanwhile(tmp_path: Path) -> None:
    folder = new_log(tmp_path)
    (reader, _), (_, writer) = opened(folder), opened(folder)
    expected = {f"task-{index}": b"%d" % index * 100 for index in range(8)}
    for task_id, content in expected.items():
        with writer.changing():
            writer.append([change(task_id, content)])
    contents = reader.contents()
    next(contents)
    with writer.changing():
        writer.compact()
    with pytest.raises(FileNotFoundError):
        list(contents)
    assert {one.task_id: bytes(content) for one, content in reader.contents()} == expected
