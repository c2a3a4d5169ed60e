import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.files import LocalFolder


def test_written_file_is_read_back_and_replaced_whole(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path / "new" / "root")
    files.write("a/b/file", b"first, longer")
    assert files.read("a/b/file") == b"first, longer"
    files.write("a/b/file", b"second")
    assert files.read("a/b/file") == b"second"
    assert files.names("a/b") == ["file"]


def test_names_are_sorted_and_empty_where_there_is_no_folder(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path)
    files.write("b", b"")
    files.write("a/x", b"")
    assert files.names("") == ["a", "b"]
    assert files.names("nothing") == []
    assert files.names("b") == []


def test_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path)
    files.write("folder/file", b"")
    with pytest.raises(IsADirectoryError):
        files.write("folder", b"data")
    assert files.names("") == ["folder"]
    assert files.names("folder") == ["file"]


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.read("nothing")
    with pytest.raises(FileNotFoundError):
        files.remove("nothing")


def test_removed_file_is_gone(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path)
    files.write("a/x", b"")
    files.remove("a/x")
    assert files.names("a") == []


def test_appended_bytes_are_at_the_end_and_can_be_read_in_parts(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path)
    files.write("a/x", b"begun, ")
    files.append("a/x", b"and gone on")
    assert files.size("a/x") == 18
    assert files.read_part("a/x", 7, 3) == b"and"
    assert files.read_part("a/x", 14, 100) == b"e on"
    with pytest.raises(FileNotFoundError):
        files.append("a/nothing", b"x")


def test_stamp_tells_appends_and_other_files_in_its_place(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path)
    files.write("a", b"one")
    first = files.stamp("a")
    assert first == files.stamp("a")
    files.append("a", b"more")
    assert (files.stamp("a").size, files.stamp("a").file) == (7, first.file)
    files.write("b", b"two")
    (tmp_path / "b").replace(tmp_path / "a")
    assert files.stamp("a").file != first.file
    with pytest.raises(FileNotFoundError):
        files.stamp("nothing")


def test_lock_is_held_by_one_thread_at_a_time(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path)
    held: list[int] = []

    def hold(_: int) -> int:
        with files.lock("a/lock"):
            held.append(1)
            time.sleep(0.001)
            return len(held) - held.pop()

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(hold, range(40))) == {0}


def test_file_is_created_by_one_of_many_at_once_and_never_over_another(tmp_path: Path) -> None:
    files = LocalFolder(tmp_path)

    def create(who: int) -> bytes | None:
        data = b"%d" % who
        return data if files.create("a/x", data) else None

    with ThreadPoolExecutor(8) as threads:
        made = [data for data in threads.map(create, range(20)) if data is not None]
    assert made == [files.read("a/x")]
    assert files.names("a") == ["x"]
