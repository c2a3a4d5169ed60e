import gc
import threading
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from model_store.artifact_layout import LaidOut, LayoutReader
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS, TaskArtifact, TaskKind
from service.engine.registry.shared_arrays import SharedArrays
from service.engine.registry.task_table import RegisteredTask, StackedTasks, TaskTable
from tests.service.artifacts import MakeArtifact


@pytest.fixture
def reader(network: FrozenNetwork) -> LayoutReader:
    return LayoutReader(network)


def added(
    table: TaskTable, reader: LayoutReader, artifact: TaskArtifact, task_id: str = "task"
) -> RegisteredTask:
    read = reader.read(artifact.content, bytes.fromhex(artifact.content_hash))
    return table.add(task_id, read)


def constant(artifact: TaskArtifact, value: float) -> TaskArtifact:
    """The artifact with all coefficients the same, so that a mixture of two would show."""
    coefficients = torch.full_like(artifact.tensors["coefficients"], value)
    return TaskArtifact(artifact.record, {"coefficients": coefficients})


@pytest.mark.parametrize("kind", KINDS)
def test_added_task_is_what_its_artifact_is(
    reader: LayoutReader, make_artifact: MakeArtifact, kind: TaskKind
) -> None:
    table = TaskTable()
    artifacts = [make_artifact(seed, kind, ("a", "ü")) for seed in range(5)]
    tasks = [added(table, reader, artifact) for artifact in artifacts]
    for task, artifact in zip(tasks, artifacts, strict=True):
        assert task.version == task.content_hash == artifact.content_hash
        assert (task.kind, task.classes) == (kind, ("a", "ü"))
        assert task.artifact_bytes == len(artifact.content)
        assert task.tensor_bytes == artifact.tensor_bytes
        assert task.tensors.keys() == artifact.tensors.keys()
        for name, tensor in artifact.tensors.items():
            assert task.tensors[name].dtype == tensor.dtype
            assert torch.equal(task.tensors[name], tensor)


def test_each_of_thousands_of_rows_is_its_own(
    reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    table, like = TaskTable(), make_artifact(1)
    read = reader.read(like.content, bytes.fromhex(like.content_hash))
    tasks = [
        table.add(str(index), read._replace(content_hash=index.to_bytes(32, "big")))
        for index in range(9000)
    ]
    assert [int(task.version, 16) for task in tasks] == list(range(9000))
    assert table.row_count == 9000


def test_row_is_used_again_once_nobody_can_read_it_and_not_before(
    reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    table, artifacts = TaskTable(), [make_artifact(seed) for seed in range(6)]
    live = held = added(table, reader, artifacts[0])
    for artifact in artifacts[1:]:
        live = added(table, reader, artifact)
        assert live.version == artifact.content_hash
        assert held.version == artifacts[0].content_hash
    # That which is held, that which is live, and that which is being written.
    assert table.row_count == 3


def test_layout_of_which_no_task_is_left_takes_no_memory(
    reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    table = TaskTable()
    task = added(table, reader, make_artifact(1))
    assert table.row_count == 1
    del task
    assert table.row_count == 0


def test_tensors_outlive_the_task_they_were_read_from(
    reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    table = TaskTable()
    keeper = added(table, reader, make_artifact(0))
    tensors = added(table, reader, constant(make_artifact(1), 1)).tensors
    added(table, reader, constant(make_artifact(1), 2))
    assert bool((tensors["coefficients"] == 1).all())
    assert keeper.version == make_artifact(0).content_hash


def test_readers_at_once_see_one_version_or_the_other_and_never_a_mixture(
    reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    table = TaskTable()
    versions = [constant(make_artifact(1), value) for value in range(40)]
    values = {one.content_hash: value for value, one in enumerate(versions)}
    live = [added(table, reader, versions[0])]
    stop, mixtures = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            task = live[0]
            before = task.version
            found = task.tensors["coefficients"]
            if before != task.version or not bool((found == values[before]).all()):
                mixtures.append(before)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for thread in readers:
        thread.start()
    for turn in range(2000):
        live[0] = added(table, reader, versions[turn % 40])
    stop.set()
    for thread in readers:
        thread.join()
    assert mixtures == []
    # One live, one being written, and at most one in the hands of each reader.
    assert table.row_count <= 6


def filled(
    tmp_path: Path, laid_out: LaidOut, numbers: Iterable[int]
) -> tuple[TaskTable, list[RegisteredTask]]:
    """A table that was filled with a task for each number, which is its hash and in its tensor."""
    table = TaskTable(SharedArrays(tmp_path, mean_bytes=100 * laid_out.layout.tensor_bytes))
    tasks = []
    with table.filling():
        for number in numbers:
            content = bytearray(laid_out.content)
            content[laid_out.tensors_start : laid_out.tensors_start + 4] = number.to_bytes(4)
            content_hash = sha256(number.to_bytes(4)).digest()
            one = laid_out._replace(content=bytes(content), content_hash=content_hash)
            tasks.append(table.add(str(number), one))
    return table, tasks


def test_a_task_that_was_shared_is_what_it_is_by_itself(
    tmp_path: Path, reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    like = make_artifact(1)
    laid_out = reader.read(like.content, bytes.fromhex(like.content_hash))
    table, tasks = filled(tmp_path, laid_out, range(3000))
    assert len(list(tmp_path.glob("*/*"))) > 10
    for number, task in enumerate(tasks):
        assert task.task_id == str(number)
        assert task.version == sha256(number.to_bytes(4)).hexdigest()
        assert task.artifact_bytes == len(like.content)
        found = task.tensors["coefficients"].numpy().tobytes()
        assert found[:4] == number.to_bytes(4)
        assert found[4:] == like.tensors["coefficients"].numpy().tobytes()[4:]
    both = StackedTasks([tasks[5], tasks[2999]]).array("coefficients")
    assert both is not None
    assert [one.tobytes()[:4] for one in both] == [n.to_bytes(4) for n in (5, 2999)]
    assert table.row_count == 3000
    del tasks, task, both
    gc.collect()
    assert list(tmp_path.glob("*/*")) == []
    assert table.row_count == 0


def test_tables_whose_tasks_differ_in_a_few_have_most_in_common(
    tmp_path: Path, reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    """Filled at other times: since then one task was deleted, and others came to the end."""
    like = make_artifact(1)
    laid_out = reader.read(like.content, bytes.fromhex(like.content_hash))
    first = filled(tmp_path, laid_out, range(3000))
    before = {path.name for path in tmp_path.glob("*/*")}
    later = [number for number in range(3000) if number != 700]
    second = filled(tmp_path, laid_out, [*later, 3000, 3001])
    own = {path.name for path in tmp_path.glob("*/*")} - before
    # The block that lost a task, and the last.
    assert 1 <= len(own) <= 3
    assert len(before) > 10
    assert {task.version for task in first[1]} - {task.version for task in second[1]} == {
        sha256((700).to_bytes(4)).hexdigest()
    }


def test_where_nothing_can_be_shared_a_filled_table_is_as_any_other(
    tmp_path: Path, reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    like = make_artifact(1)
    laid_out = reader.read(like.content, bytes.fromhex(like.content_hash))
    table, tasks = filled(tmp_path / "nowhere", laid_out, range(3000))
    assert [task.version for task in tasks] == [
        sha256(number.to_bytes(4)).hexdigest() for number in range(3000)
    ]
    tasks.pop(0)
    tasks.append(added(table, reader, make_artifact(2)))
    assert table.row_count == 3000


def test_what_is_added_after_the_filling_is_the_tables_own(
    tmp_path: Path, reader: LayoutReader, make_artifact: MakeArtifact
) -> None:
    like = make_artifact(1)
    laid_out = reader.read(like.content, bytes.fromhex(like.content_hash))
    table, tasks = filled(tmp_path, laid_out, range(1000))
    files = sorted(tmp_path.glob("*/*"))
    live = [added(table, reader, make_artifact(2))]
    for seed in range(3, 40):
        live[0] = added(table, reader, make_artifact(seed))
        assert live[0].version == make_artifact(seed).content_hash
    assert sorted(tmp_path.glob("*/*")) == files
    assert table.row_count <= 1002
    assert tasks[0].version == sha256(bytes(4)).hexdigest()
