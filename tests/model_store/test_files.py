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
