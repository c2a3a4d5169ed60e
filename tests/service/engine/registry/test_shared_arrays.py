import gc
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from service.engine.registry.shared_arrays import Parts, SharedArrays


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / f"impress-{os.geteuid()}"


def numbers(seed: int = 1) -> list[Parts]:
    """Two arrays, in pieces that are no multiple of anything."""
    drawn = np.random.default_rng(seed)
    halves = [drawn.random((rows, 3, 5)).astype(np.float16) for rows in (1, 2000, 3001)]
    return [halves, [drawn.integers(0, 9, rows, np.uint8) for rows in (7, 5)]]


def assert_same(found: list[np.ndarray] | None, arrays: list[Parts]) -> None:
    assert found is not None
    for one, parts in zip(found, arrays, strict=True):
        assert np.array_equal(one, np.concatenate(parts))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_that_put_the_same_have_one_file_in_common(tmp_path: Path, folder: Path) -> None:
    first = SharedArrays(tmp_path).put("a", numbers())
    file = (folder / "a").stat()
    second = SharedArrays(tmp_path).put("a", numbers())
    for found in (first, second):
        assert_same(found, numbers())
        assert found is not None
        assert not any(one.flags.writeable for one in found)
    assert names(folder) == ["a"]
    assert (folder / "a").stat().st_ino == file.st_ino
    assert file.st_mode & 0o777 == 0o600


def test_what_others_have_under_the_name_is_never_taken_for_ones_own(
    tmp_path: Path, folder: Path
) -> None:
    first = SharedArrays(tmp_path).put("a", numbers(1))
    assert SharedArrays(tmp_path).put("a", numbers(2)) is None
    assert_same(first, numbers(1))
    # Nor is what is shorter, or empty.
    for size in (100, 0):
        (folder / "b").write_bytes(bytes(size))
        assert SharedArrays(tmp_path).put("b", numbers(1)) is None


def test_the_last_that_has_it_removes_it(tmp_path: Path, folder: Path) -> None:
    first = SharedArrays(tmp_path).put("a", numbers())
    second = SharedArrays(tmp_path).put("a", numbers())
    del first
    gc.collect()
    assert names(folder) == ["a"]
    assert second is not None
    kept = second[1]
    del second
    gc.collect()
    assert names(folder) == ["a"]
    assert np.array_equal(kept, np.concatenate(numbers()[1]))
    del kept
    gc.collect()
    assert names(folder) == []


def test_what_killed_processes_left_is_swept_and_what_is_in_use_is_not(
    tmp_path: Path, folder: Path
) -> None:
    mine = SharedArrays(tmp_path)
    found = mine.put("a", numbers())
    (folder / "left").write_bytes(b"x")
    (folder / ".half").write_bytes(b"x")
    mine.sweep()
    SharedArrays(tmp_path).sweep()
    assert names(folder) == ["a"]
    assert_same(found, numbers())


@contextmanager
def files_of_a_page() -> Iterator[None]:
    """No file can be larger, as where there is no room: the test's own output neither."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_nothing_is_shared_and_nothing_is_left(tmp_path: Path, folder: Path) -> None:
    shared = SharedArrays(tmp_path)
    with files_of_a_page():
        found = shared.put("a", numbers())
    assert found is None
    assert names(folder) == []


def test_a_folder_that_others_can_reach_is_not_used(tmp_path: Path, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    assert SharedArrays(tmp_path).put("a", numbers()) is None
    assert names(folder) == []
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert SharedArrays(tmp_path).put("a", numbers()) is None
    assert names(tmp_path / "elsewhere") == []


def test_where_there_is_no_such_memory_nothing_is_shared(tmp_path: Path) -> None:
    shared = SharedArrays(tmp_path / "nowhere")
    assert shared.put("a", numbers()) is None
    shared.sweep()


def test_putting_the_same_and_letting_go_of_it_at_once_hurts_nobody(
    tmp_path: Path, folder: Path
) -> None:
    arrays = numbers()
    wrong: list[object] = []

    def put_again_and_again() -> None:
        for _ in range(40):
            shared = SharedArrays(tmp_path)
            found = shared.put("a", arrays)
            try:
                assert_same(found, arrays)
            except AssertionError as error:
                wrong.append(error)
            shared.sweep()

    threads = [threading.Thread(target=put_again_and_again) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    gc.collect()
    assert names(folder) == []
