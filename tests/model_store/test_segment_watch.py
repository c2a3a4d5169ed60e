"""What a segment's file shows of a change to bytes that were read."""

import os
from pathlib import Path

import pytest

from model_store.files import LocalFolder, Stamp
from model_store.segment_list import segment_path
from model_store.segment_watch import SegmentWatch
from tests.damage import flip

PATH = segment_path(1)


class OldFiles(LocalFolder):
    """A folder whose files were last changed long ago, and count what is read of them."""

    def __init__(self, root: Path, changed_ns: int = 0) -> None:
        super().__init__(root)
        self.changed_ns = changed_ns
        self.bytes_read = 0

    def stamp(self, path: str) -> Stamp:
        return super().stamp(path)._replace(changed_ns=self.changed_ns)

    def read_part(self, path: str, start: int, length: int) -> bytes:
        part = super().read_part(path, start, length)
        self.bytes_read += len(part)
        return part


@pytest.fixture
def files(tmp_path: Path) -> LocalFolder:
    made = LocalFolder(tmp_path)
    made.write(PATH, b"0123456789")
    return made


@pytest.mark.parametrize("at", [0, 9])
@pytest.mark.parametrize("may_grow", [False, True])
def test_change_right_after_a_segment_was_seen_is_noticed(
    files: LocalFolder, tmp_path: Path, at: int, may_grow: bool
) -> None:
    watch = SegmentWatch(files)
    assert watch.see(1, may_grow) == 10
    assert watch.stands(1)
    flip(tmp_path / PATH, at, 1)
    assert watch.goes_on(1, may_grow)
    assert not watch.stands(1)
    flip(tmp_path / PATH, at, 1)
    assert watch.stands(1)


def test_change_before_an_append_is_noticed_after_it(files: LocalFolder, tmp_path: Path) -> None:
    watch = SegmentWatch(files)
    watch.see(1, may_grow=True)
    flip(tmp_path / PATH, 3, 1)
    files.append(PATH, b"more")
    assert watch.goes_on(1, may_grow=True)
    assert watch.see(1, may_grow=True) == 14
    assert not watch.stands(1)


def test_only_a_segment_that_may_grow_goes_on_longer(files: LocalFolder) -> None:
    watch = SegmentWatch(files)
    watch.see(1, may_grow=True)
    files.append(PATH, b"more")
    assert watch.goes_on(1, may_grow=True)
    assert not watch.goes_on(1, may_grow=False)
    watch.see(1, may_grow=True)
    assert watch.goes_on(1, may_grow=False)
    assert watch.stands(1)


def test_shorter_segment_and_another_file_in_its_place_do_not_go_on(
    files: LocalFolder, tmp_path: Path
) -> None:
    watch = SegmentWatch(files)
    watch.see(1, may_grow=True)
    os.truncate(tmp_path / PATH, 9)
    assert not watch.goes_on(1, may_grow=True)
    assert not watch.stands(1)
    files.write(PATH, b"0123456789")
    assert not watch.goes_on(1, may_grow=True)
    watch.forget()
    watch.see(1, may_grow=True)
    assert watch.stands(1)


def test_segment_whose_stamp_rules_a_change_out_is_not_read(
    files: LocalFolder, tmp_path: Path
) -> None:
    old = OldFiles(tmp_path)
    watch = SegmentWatch(old)
    watch.see(1, may_grow=False)
    assert watch.stands(1)
    assert old.bytes_read == 0
    old.changed_ns = 1
    assert not watch.stands(1)


def test_segment_is_read_once_more_and_then_left_until_its_stamp_changes(
    files: LocalFolder, tmp_path: Path
) -> None:
    old = OldFiles(tmp_path)
    watch = SegmentWatch(old)
    watch.see(1, may_grow=True)
    files.append(PATH, b"more")
    watch.see(1, may_grow=True)
    read = old.bytes_read
    assert read == 14
    for _ in range(3):
        assert watch.stands(1)
    assert old.bytes_read == read + 14


def test_segment_that_is_gone_is_not_found(files: LocalFolder) -> None:
    watch = SegmentWatch(files)
    watch.see(1, may_grow=True)
    files.remove(PATH)
    with pytest.raises(FileNotFoundError):
        watch.goes_on(1, may_grow=True)
    with pytest.raises(FileNotFoundError):
        watch.stands(1)
