from collections.abc import Callable

import pytest

from model_store.object_folder import ObjectFolder
from model_store.read_ahead import BLOCK_BYTES
from tests.object_stores import FAULTS, PATIENCE_SECONDS, Fault, FaultyProxy, objects_at

NewFiles = Callable[[], ObjectFolder]


@pytest.fixture
def files(new_objects: NewFiles) -> ObjectFolder:
    return new_objects()


def test_written_file_is_read_back_in_whole_and_in_parts(files: ObjectFolder) -> None:
    files.write("a/x", b"begun and ended")
    assert files.read("a/x") == b"begun and ended"
    assert files.read_part("a/x", 6, 3) == b"and"
    assert files.read_part("a/x", 10, 100) == b"ended"
    assert files.read_part("a/x", 100, 1) == b""
    assert files.size("a/x") == 15
    assert files.names("") == ["a"]
    assert files.names("a") == ["x"]
    assert files.names("nothing") == []


def test_file_is_created_only_where_there_is_none(files: ObjectFolder) -> None:
    assert files.create("a/x", b"first")
    assert not files.create("a/x", b"second")
    assert files.read("a/x") == b"first"


def test_file_is_replaced_only_in_the_place_of_the_version_that_was_read(
    files: ObjectFolder,
) -> None:
    files.write("list", b"one")
    _, version = files.read_version("list")
    assert files.replace("list", b"two", version)
    assert not files.replace("list", b"three", version)
    assert files.read_version("list")[0] == b"two"


def test_missing_file_is_not_found(files: ObjectFolder) -> None:
    for ask in (files.read, files.size, files.stamp):
        with pytest.raises(FileNotFoundError):
            ask("nothing")


def test_stamp_tells_another_content_once_what_was_remembered_is_forgotten(
    files: ObjectFolder,
) -> None:
    files.write("a/x", b"one")
    before = files.stamp("a/x")
    files.write("a/x", b"two")
    files.forget()
    assert files.stamp("a/x") != before


def test_large_file_is_read_across_blocks_whatever_was_expected(files: ObjectFolder) -> None:
    data = b"".join(n.to_bytes(4, "big") for n in range(3 * BLOCK_BYTES // 4 + 10))
    files.write("a/x", data)
    spans = [(0, len(data)), (BLOCK_BYTES - 3, BLOCK_BYTES + 7), (5, 2 * BLOCK_BYTES + 1)]
    for start, end in spans:
        assert files.read_part("a/x", start, end - start) == data[start:end]
        files.expect([("a/x", start, end)])
        assert files.read_part("a/x", start, end - start) == data[start:end]
    files.expect([("a/x", 0, BLOCK_BYTES)])
    assert files.read_part("a/x", 10, len(data)) == data[10:]


def test_many_small_files_are_each_fetched_once_and_in_advance(
    files: ObjectFolder, s3_endpoint: str
) -> None:
    names = [f"a/{n:03}" for n in range(60)]
    for name in names:
        files.write(name, name.encode() * 5)
    with FaultyProxy(s3_endpoint) as proxy:
        _, _, prefix = str(files).rpartition("/")
        reader = objects_at(proxy.endpoint, prefix)
        reader.expect((name, 0, reader.size(name)) for name in names)
        assert [reader.read_part(name, 0, 5) for name in names] == [n.encode() for n in names]
        assert [reader.read_part(name, 5, 99) for name in names] == [n.encode() * 4 for n in names]
        assert sum("GET" in request for request in proxy.requests) == 1 + len(names)


@pytest.mark.parametrize("fault", FAULTS)
def test_store_that_always_fails_is_an_os_error(
    files: ObjectFolder, s3_endpoint: str, fault: Fault
) -> None:
    files.write("a/x", b"there")
    with FaultyProxy(s3_endpoint) as proxy:
        _, _, prefix = str(files).rpartition("/")
        far = objects_at(proxy.endpoint, prefix, PATIENCE_SECONDS)
        proxy.begin(lambda _: fault)
        for ask in (
            lambda: far.read("a/x"),
            lambda: far.read_part("a/x", 0, 1),
            lambda: far.names("a"),
            lambda: far.ages("a"),
        ):
            with pytest.raises(OSError, match="s3://"):
                ask()
