import asyncio
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.errors import CorruptArtifact, InvalidTaskName, UnknownTask
from model_store.files import LocalFolder
from model_store.segment_file import frame
from model_store.segment_list import segment_path
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from service.engine.registry.registry import TaskRegistry
from service.errors import StoreUnavailable
from service.watching.telemetry import Telemetry
from tests.damage import damage_content
from tests.service.artifacts import MakeArtifact

pytestmark = pytest.mark.anyio


@pytest.fixture
def registry(store: Store, telemetry: Telemetry) -> TaskRegistry:
    made = TaskRegistry(store, ThreadPoolExecutor(1), telemetry)
    made.load_all()
    return made


async def test_every_task_of_the_store_is_live_after_loading(
    registry: TaskRegistry, store: Store
) -> None:
    assert [task.task_id for task in registry.snapshot()] == store.task_ids()
    assert len(registry) == 5


async def test_published_task_is_live_and_in_the_store(
    registry: TaskRegistry, store: Store, make_artifact: MakeArtifact
) -> None:
    registered, created = await registry.publish("new", make_artifact(50).content)
    assert created
    assert registry.get("new") is registered
    assert store.load("new").content_hash == registered.version
    assert registered in registry.snapshot()


async def test_reader_of_a_replaced_task_keeps_its_version(
    registry: TaskRegistry, make_artifact: MakeArtifact
) -> None:
    held = registry.get("task-0")
    earlier = held.version
    _, created = await registry.publish("task-0", make_artifact(51).content)
    assert not created
    assert held.version == earlier
    assert registry.get("task-0").version != earlier


async def test_what_is_replaced_or_deleted_is_retired(
    registry: TaskRegistry, make_artifact: MakeArtifact
) -> None:
    replaced, deleted, untouched = (registry.get(f"task-{n}") for n in range(3))
    await registry.publish("task-0", make_artifact(51).content)
    await registry.delete("task-1")
    assert [one.retired for one in (replaced, deleted, untouched)] == [True, True, False]
    assert not registry.get("task-0").retired


async def test_refused_upload_changes_nothing(registry: TaskRegistry, store: Store) -> None:
    before = registry.snapshot()
    with pytest.raises(CorruptArtifact):
        await registry.publish("task-0", b"junk")
    with pytest.raises(InvalidTaskName):
        await registry.publish("../escape", b"junk")
    assert registry.snapshot() is before
    assert store.task_ids() == [task.task_id for task in before]


async def test_publisher_that_leaves_does_not_part_memory_from_disk(
    registry: TaskRegistry, store: Store, make_artifact: MakeArtifact
) -> None:
    publishing = asyncio.create_task(registry.publish("new", make_artifact(52).content))
    await asyncio.sleep(0)
    publishing.cancel()
    for _ in range(500):
        if "new" in store.task_ids() and len(registry) == 6:
            break
        await asyncio.sleep(0.01)
    assert registry.get("new").version == store.load("new").content_hash


async def test_publishers_at_once_leave_memory_and_disk_agreed(
    registry: TaskRegistry, store: Store, make_artifact: MakeArtifact
) -> None:
    await asyncio.gather(
        *(registry.publish("same", make_artifact(seed).content) for seed in range(60, 80))
    )
    assert registry.get("same").version == store.load("same").content_hash


class FullDisk(LocalFolder):
    """A folder on a disk without room."""

    def append(self, path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


async def test_full_disk_refuses_the_upload_and_the_rest_goes_on(
    store: Store, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    full = Store(FullDisk(Path(str(store.files))), store.network)
    registry = TaskRegistry(full, ThreadPoolExecutor(1), telemetry)
    registry.load_all()
    before = registry.get("task-0").version
    with pytest.raises(StoreUnavailable, match="No space left"):
        await registry.publish("task-0", make_artifact(51).content)
    assert registry.get("task-0").version == before == store.load("task-0").content_hash


async def test_store_damaged_since_refuses_the_upload_and_the_rest_goes_on(
    registry: TaskRegistry, store: Store, make_artifact: MakeArtifact
) -> None:
    before = registry.get("task-0").version
    store.files.write("segments/list.json", b"?")
    with pytest.raises(StoreUnavailable, match="a list of segments"):
        await registry.publish("task-0", make_artifact(51).content)
    assert registry.get("task-0").version == before


async def test_record_is_read_from_the_store_while_it_has_that_version(
    registry: TaskRegistry, store: Store, make_artifact: MakeArtifact
) -> None:
    task = registry.get("task-0")
    assert await registry.record(task) == make_artifact(0).record
    Store.open(Path(str(store.files))).publish("task-0", make_artifact(51))
    assert await registry.record(task) == make_artifact(0).record
    Store.open(Path(str(store.files))).compact()
    assert await registry.record(task) == make_artifact(0).record
    Store.open(Path(str(store.files))).compact(keep=1)
    assert await registry.record(task) is None


async def test_artifact_of_another_store_is_left_out_and_named(
    store: Store, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    good = make_artifact(50)
    made_for = good.record.made_for.model_copy(update={"weights": "0" * 16})
    record = good.record.model_copy(update={"made_for": made_for})
    foreign = TaskArtifact(record, good.tensors)
    content_hash = bytes.fromhex(foreign.content_hash)
    LocalFolder(Path(str(store.files))).append(
        segment_path(1), frame("foreign", content_hash, foreign.content)
    )
    registry = TaskRegistry(store, ThreadPoolExecutor(1), telemetry)
    registry.load_all()
    assert len(registry) == 5
    assert "weights fingerprint" in registry.damaged["foreign"]


async def test_deleted_task_is_gone_from_both(registry: TaskRegistry, store: Store) -> None:
    await registry.delete("task-1")
    with pytest.raises(UnknownTask):
        registry.get("task-1")
    with pytest.raises(UnknownTask):
        await registry.delete("task-1")
    assert "task-1" not in store.task_ids()


async def test_damage_that_no_task_can_be_named_for_is_told_of(
    store: Store, telemetry: Telemetry
) -> None:
    LocalFolder(Path(str(store.files))).append(segment_path(1), b"?" * 500)
    registry = TaskRegistry(store, ThreadPoolExecutor(1), telemetry)
    registry.load_all()
    assert len(registry) == 5
    ((where, problem),) = registry.damaged.items()
    assert where.startswith("segments/00000001.seg at byte ")
    assert "500 bytes" in problem


async def test_what_others_changed_is_taken_over(
    registry: TaskRegistry, store: Store, make_artifact: MakeArtifact
) -> None:
    other = Store.open(Path(str(store.files)))
    held = registry.get("task-0")
    other.publish("task-0", make_artifact(51))
    other.publish("new", make_artifact(50))
    other.delete("task-1")
    other.compact()
    assert await registry.catch_up(thorough=False) == 3
    assert registry.get("task-0").version == make_artifact(51).content_hash
    assert held.version == make_artifact(0).content_hash
    assert [task.task_id for task in registry.snapshot()] == other.task_ids()
    before = registry.snapshot()
    assert await registry.catch_up(thorough=True) == 0
    assert registry.snapshot() is before


async def test_replicas_that_serve_the_same_say_one_number(
    registry: TaskRegistry, store: Store, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    loaded = registry.version
    other = TaskRegistry(Store.open(Path(str(store.files))), ThreadPoolExecutor(1), telemetry)
    other.load_all()
    assert other.version == loaded
    await registry.publish("new", make_artifact(50).content)
    await registry.publish("task-0", make_artifact(51).content)
    assert registry.version != loaded
    assert await other.catch_up(thorough=False) == 2
    assert other.version == registry.version
    await other.publish("task-0", make_artifact(0).content)
    await other.delete("new")
    assert other.version == loaded


async def test_version_that_serves_no_longer_is_told_of(
    store: Store, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    told: list[str] = []
    dropped: list[str] = []
    registry = TaskRegistry(
        store, ThreadPoolExecutor(1), telemetry, lambda: told.append("told"), dropped.append
    )
    registry.load_all()
    await registry.publish("task-0", make_artifact(0).content)
    assert dropped == []
    await registry.publish("task-0", make_artifact(51).content)
    await registry.delete("task-0")
    assert dropped == [make_artifact(0).content_hash, make_artifact(51).content_hash]
    assert told == ["told"] * 3
    Store.open(Path(str(store.files))).publish("task-1", make_artifact(52))
    await registry.catch_up(thorough=False)
    assert dropped[2:] == [make_artifact(1).content_hash]
    assert told == ["told"] * 3


async def test_task_that_others_deleted_is_unknown_and_gone_after_catching_up(
    registry: TaskRegistry, store: Store
) -> None:
    Store.open(Path(str(store.files))).delete("task-1")
    with pytest.raises(UnknownTask):
        await registry.delete("task-1")
    await registry.catch_up(thorough=False)
    assert len(registry) == 4


async def test_damaged_task_can_be_deleted(registry: TaskRegistry, store: Store) -> None:
    damage_content(Path(str(store.files)), "task-1")
    await registry.catch_up(thorough=True)
    assert registry.damaged.keys() == {"task-1"}
    await registry.delete("task-1")
    assert registry.damaged == {}
    assert "task-1" not in store.task_ids()


async def test_changes_asked_for_here_are_counted_by_kind(
    registry: TaskRegistry, telemetry: Telemetry, make_artifact: MakeArtifact
) -> None:
    await registry.publish("new", make_artifact(50).content)
    await registry.publish("new", make_artifact(51).content)
    await registry.publish("new", make_artifact(52).content)
    await registry.delete("new")
    with pytest.raises(UnknownTask):
        await registry.delete("new")
    counted = {
        sample.labels["change"]: sample.value
        for family in telemetry.task_changes.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert counted == {"published": 1, "replaced": 2, "deleted": 1}
