"""What one who follows a store is told, and that it is enough."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from model_store.artifact_layout import LaidOut
from model_store.errors import CorruptStore
from model_store.files import LocalFolder
from model_store.log_writer import Change, LogWriter
from model_store.network import FrozenNetwork
from model_store.segment_file import Entry
from model_store.segment_list import LIST_FILE, segment_path
from model_store.store import Store
from model_store.store_changes import StoreChanges
from model_store.task_artifact import TaskArtifact
from tests.damage import damage_content, flip

MakeArtifact = Callable[..., TaskArtifact]


class Follower:
    """Holds what it is told, and counts it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder)
        self.serving: dict[str, str] = {}
        self.damaged: dict[str, str] = {}
        self.told: list[str] = []
        self._changes = StoreChanges(self.store, self)

    def names(self) -> Iterable[str]:
        return (*self.serving, *self.damaged)

    def version_of(self, task_id: str) -> str | None:
        return self.serving.get(task_id)

    def look(self, thorough: bool = False) -> list[str]:
        """What this look told of."""
        self.told = []
        for task_id, found in self._changes.since_last(thorough):
            self.told.append(task_id)
            self.serving.pop(task_id, None)
            self.damaged.pop(task_id, None)
            if isinstance(found, LaidOut):
                self.serving[task_id] = found.content_hash.hex()
            elif found is not None:
                self.damaged[task_id] = str(found)
        return self.told

    def state(self) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        return self.serving, self.damaged, self.store.unreadable()


@pytest.fixture
def artifacts(network: FrozenNetwork, make_artifact: MakeArtifact) -> list[TaskArtifact]:
    return [make_artifact(network, seed=seed) for seed in range(6)]


@pytest.fixture
def follower(store: Store, folder: Path, artifacts: list[TaskArtifact]) -> Follower:
    store.publish_many([("a", artifacts[0]), ("b", artifacts[1]), ("c", artifacts[2])])
    made = Follower(folder)
    assert made.look() == ["a", "b", "c"]
    return made


def assert_in_step(follower: Follower, folder: Path) -> None:
    fresh = Follower(folder)
    fresh.look()
    assert follower.state() == fresh.state()


def place_of(store: Store, task_id: str) -> Entry:
    entry = store.log.current_entry(task_id)
    assert entry is not None
    return entry


def test_only_what_changed_is_told(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    assert follower.look() == []
    store.publish("b", artifacts[3])
    store.publish("d", artifacts[4])
    store.delete("a")
    assert sorted(follower.look()) == ["a", "b", "d"]
    assert_in_step(follower, folder)
    assert follower.look(thorough=True) == []


def test_what_the_follower_published_itself_is_not_told_again(
    follower: Follower, artifacts: list[TaskArtifact]
) -> None:
    follower.store.publish("d", artifacts[3])
    follower.serving["d"] = artifacts[3].content_hash
    assert follower.look(thorough=True) == []


def test_compaction_changes_nothing_for_a_follower(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    store.delete("b")
    store.publish("a", artifacts[4])
    store.compact()
    assert sorted(follower.look()) == ["a", "b"]
    store.compact()
    assert follower.look() == []
    assert_in_step(follower, folder)


def test_compaction_in_the_middle_of_a_look_is_caught_up_with(
    store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    log, small = store.log, LogWriter(store.log, segment_bytes=1)
    for task_id, artifact in zip("abc", artifacts, strict=False):
        with small.changing():
            small.append([Change(task_id, bytes.fromhex(artifact.content_hash), artifact.content)])
    assert len(log.segments) == 3
    follower = Follower(folder)
    looking = StoreChanges(follower.store, follower).since_last(thorough=False)
    assert next(looking)[0] == "a"
    store.publish("a", artifacts[4])
    store.compact()
    assert [task_id for task_id, _ in looking] == ["b", "c", "a"]


def test_look_that_was_not_taken_to_its_end_is_made_good_by_the_next(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    store.publish_many([("d", artifacts[3]), ("e", artifacts[4])])
    looking = StoreChanges(follower.store, follower).since_last(thorough=False)
    next(looking)
    looking.close()
    assert follower.look() == ["d", "e"]
    assert_in_step(follower, folder)


def test_damaged_content_costs_that_task_alone_and_mended_it_is_back(
    follower: Follower, folder: Path
) -> None:
    before = dict(follower.serving)
    damage_content(folder, "b")
    assert follower.look(thorough=True) == ["b"]
    assert follower.damaged.keys() == {"b"}
    assert_in_step(follower, folder)
    damage_content(folder, "b")
    assert follower.look(thorough=True) == ["b"]
    assert follower.serving == before


def test_damaged_heads_of_a_new_version_bring_the_earlier_one_back(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    store.publish("b", artifacts[3])
    follower.look()
    entry = place_of(store, "b")
    for at in (entry.start + 5, entry.end - 5):
        flip(folder / segment_path(entry.segment), at, 0xFF)
    follower.look(thorough=True)
    assert follower.serving["b"] == artifacts[1].content_hash
    assert len(follower.store.unreadable()) == 1
    assert_in_step(follower, folder)


def test_damaged_deletion_brings_the_task_back_for_all(
    follower: Follower, store: Store, folder: Path
) -> None:
    end = store.log.end(1)
    store.delete("a")
    follower.look()
    for at in (end + 5, store.log.end(1) - 5):
        flip(folder / segment_path(1), at, 0xFF)
    follower.look(thorough=True)
    assert "a" in follower.serving
    assert_in_step(follower, folder)


def test_damage_before_an_append_is_found(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    damage_content(folder, "a")
    store.publish("d", artifacts[3])
    assert follower.look() == ["d"]
    assert follower.look(thorough=True) == ["a"]
    assert_in_step(follower, folder)


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_segment_cut_short_costs_what_was_cut(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact], cut: int
) -> None:
    path = folder / segment_path(1)
    os.truncate(path, path.stat().st_size - cut)
    assert follower.look() == ["c"]
    store.publish("d", artifacts[3])
    follower.look()
    assert_in_step(follower, folder)


def test_segment_cut_and_written_on_to_the_same_length_is_read_anew(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    entry = place_of(store, "c")
    os.truncate(folder / segment_path(1), entry.start)
    Store.open(folder).publish("d", artifacts[3])
    follower.look(thorough=True)
    assert follower.serving.keys() == {"a", "b", "d"}
    assert_in_step(follower, folder)


def test_earlier_files_put_back_are_read_anew(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    files = LocalFolder(folder)
    earlier = files.read(segment_path(1))
    store.publish("a", artifacts[3])
    store.publish("d", artifacts[4])
    follower.look()
    files.write(segment_path(1), earlier)
    assert sorted(follower.look()) == ["a", "d"]
    assert_in_step(follower, folder)


def test_compactor_that_holds_other_places_writes_no_task_under_anothers_name(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    """Two files of equal frames in another order: places fit, names do not."""
    path = folder / segment_path(1)
    data = path.read_bytes()
    a, b = (place_of(store, task_id) for task_id in "ab")
    assert a.end - a.start == b.end - b.start
    path.write_bytes(
        data[: a.start] + data[b.start : b.end] + data[a.start : a.end] + data[b.end :]
    )
    follower.store.compact()
    assert follower.look() == []
    assert_in_step(follower, folder)


def test_junk_that_an_append_completes_to_an_entry_is_read_anew(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    """The last entry's heads are damaged, and a look comes while the next is being appended."""
    path = folder / segment_path(1)
    entry = place_of(store, "c")
    for at in (entry.start + 5, entry.end - 5):
        flip(path, at, 0xFF)
    whole = path.read_bytes()
    Store.open(folder).publish("d", artifacts[3])
    after = path.read_bytes()
    path.write_bytes(after[: len(whole) + 10])
    follower.look(thorough=True)
    with path.open("ab") as file:
        file.write(after[len(whole) + 10 :])
    follower.look()
    assert "d" in follower.serving
    assert_in_step(follower, folder)


def test_store_that_cannot_be_read_keeps_what_is_held_and_is_caught_up_with_after(
    follower: Follower, store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    files = LocalFolder(folder)
    before, listed = dict(follower.serving), files.read(LIST_FILE)
    store.publish("d", artifacts[3])
    files.write(LIST_FILE, b"?")
    for thorough in (False, True):
        with pytest.raises(CorruptStore, match="a list of segments"):
            follower.look(thorough)
    assert follower.serving == before
    files.write(LIST_FILE, listed)
    assert follower.look() == ["d"]
    (folder / segment_path(1)).rename(folder / "aside")
    with pytest.raises(CorruptStore, match="missing, but listed"):
        follower.look()
    (folder / "aside").rename(folder / segment_path(1))
    assert follower.look() == []
    assert_in_step(follower, folder)
