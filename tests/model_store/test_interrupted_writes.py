"""A writer that dies at any moment leaves the earlier version or the new one, whole."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from model_store.files import TEMPORARY_PREFIX, LocalFolder
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from model_store.verify import verify_store
from tests.faults import Faults

MakeArtifact = Callable[..., TaskArtifact]


class Killed(BaseException):
    """The process is gone: nothing of it runs after this, so no handler of an error sees it."""


class DyingFiles(LocalFolder):
    """A folder whose writer dies before its n-th change; `torn` leaves half of it behind."""

    def __init__(self, root: Path, changes: int, torn: bool) -> None:
        super().__init__(root)
        self.left = changes
        self.torn = torn

    def write(self, path: str, data: bytes) -> None:
        if self.left == 0 and self.torn:
            folder, _, _ = path.rpartition("/")
            super().write(f"{folder}/{TEMPORARY_PREFIX}dead", data[: len(data) // 2])
        self._live()
        super().write(path, data)

    def append(self, path: str, data: bytes) -> None:
        if self.left == 0 and self.torn:
            super().append(path, data[: len(data) // 2])
        self._live()
        super().append(path, data)

    def remove(self, path: str) -> None:
        self._live()
        super().remove(path)

    def _live(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


def until_it_survives(
    folder: Path, torn: bool, change: Callable[[Store], object], check: Callable[[], None]
) -> int:
    """Make `change` die before its first change, its second and so on; how often it died."""
    network = Store.open(folder).network
    for changes in count():
        dying = Store(DyingFiles(folder, changes, torn), network)
        try:
            change(dying)
        except Killed:
            check()
        else:
            return changes
    raise AssertionError("unreachable: count() does not end")


def assert_only_leftovers(folder: Path) -> None:
    for finding in verify_store(folder).findings:
        assert "left over" in finding.problem, finding


each_death = pytest.mark.parametrize("torn", [False, True], ids=["before", "within"])


@each_death
def test_publisher_of_a_new_task_who_dies_leaves_no_half_task(
    store: Store, folder: Path, each_artifact: TaskArtifact, torn: bool
) -> None:
    def nothing_or_all() -> None:
        opened = Store.open(folder)
        if opened.task_ids():
            assert opened.load("clothes").content == each_artifact.content
        assert_only_leftovers(folder)

    died = until_it_survives(
        folder, torn, lambda s: s.publish("clothes", each_artifact), nothing_or_all
    )
    assert died >= 1
    assert Store.open(folder).load("clothes").content == each_artifact.content


@each_death
def test_publisher_of_a_new_version_who_dies_leaves_the_earlier_or_the_new_one(
    store: Store,
    folder: Path,
    network: FrozenNetwork,
    make_artifact: MakeArtifact,
    torn: bool,
) -> None:
    first, second = make_artifact(network, seed=1), make_artifact(network, seed=2)
    store.publish("clothes", first)

    def either() -> None:
        loaded = Store.open(folder).load("clothes").content
        assert loaded in (first.content, second.content)
        assert_only_leftovers(folder)

    died = until_it_survives(folder, torn, lambda s: s.publish("clothes", second), either)
    assert died >= 1
    assert Store.open(folder).load("clothes").content == second.content


@each_death
def test_deleter_who_dies_leaves_the_task_whole_or_gone(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact, torn: bool
) -> None:
    artifact = make_artifact(network)
    store.publish("clothes", artifact)

    def whole_or_gone() -> None:
        opened = Store.open(folder)
        if opened.task_ids():
            assert opened.load("clothes").content == artifact.content
        assert_only_leftovers(folder)

    def delete(dying: Store) -> None:
        if dying.task_ids():
            dying.delete("clothes")

    assert until_it_survives(folder, torn, delete, whole_or_gone) >= 1
    assert Store.open(folder).task_ids() == []


@each_death
def test_compactor_who_dies_loses_nothing_and_the_next_one_clears_up(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact, torn: bool
) -> None:
    versions = [make_artifact(network, seed=seed) for seed in range(3)]
    for version in versions:
        store.publish("clothes", version)
    store.publish("gone", versions[0])
    store.delete("gone")

    def all_there() -> None:
        opened = Store.open(folder)
        assert opened.task_ids() == ["clothes"]
        assert opened.load("clothes").content == versions[-1].content
        assert_only_leftovers(folder)

    assert until_it_survives(folder, torn, Store.compact, all_there) >= 3
    all_there()
    store.compact()
    assert verify_store(folder).findings == ()


def test_publisher_of_many_who_dies_leaves_whole_ones(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifacts = {f"task-{seed}": make_artifact(network, seed=seed) for seed in range(4)}
    store.publish("task-0", artifacts["task-0"])

    def no_half() -> None:
        for task_id in Store.open(folder).task_ids():
            assert Store.open(folder).load(task_id).content == artifacts[task_id].content
        assert_only_leftovers(folder)

    until_it_survives(folder, True, lambda s: s.publish_many(artifacts.items()), no_half)
    assert Store.open(folder).task_ids() == list(artifacts)


def test_creator_who_dies_leaves_no_store_and_can_begin_again(
    tmp_path: Path, networks: dict[str, FrozenNetwork]
) -> None:
    learned = networks["heterogeneous"]
    LocalFolder(tmp_path).write(f"{TEMPORARY_PREFIX}dead", b"half a bank")
    LocalFolder(tmp_path).write("bank.safetensors", b"another bank, of a creator who died")
    Store.create(tmp_path, learned)
    assert Store.open(tmp_path).network.bank.fingerprint() == learned.bank.fingerprint()
    assert_only_leftovers(tmp_path)


PUBLISH_FOR_EVER = """
import os, sys
from itertools import count
from pathlib import Path
from model_store.store import Store
from model_store.task_artifact import parse_artifact

store = Store.open(Path(sys.argv[1]))
acknowledged = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
artifacts = [parse_artifact(Path(path).read_bytes()) for path in sys.argv[3:]]
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        for turn in count():
            store.publish("same", artifacts[turn % 2])
            store.publish(f"new-{line.strip()}-{turn}", artifacts[turn % 2])
            os.write(acknowledged, f"new-{line.strip()}-{turn}\\n".encode())
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_publisher_killed_again_and_again_loses_nothing_that_was_acknowledged(
    store: Store,
    folder: Path,
    tmp_path: Path,
    network: FrozenNetwork,
    make_artifact: MakeArtifact,
    faults: Faults,
) -> None:
    kills = 1_000 if faults.is_long else 30
    artifacts = [make_artifact(network, "supermask", seed=seed) for seed in (1, 2)]
    paths = [tmp_path / "first", tmp_path / "second"]
    said = tmp_path / "acknowledged"
    for path, artifact in zip(paths, artifacts, strict=True):
        path.write_bytes(artifact.content)
    store.publish("same", artifacts[0])
    delays = random.Random(1)  # the same delays in every run
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISH_FOR_EVER, *map(str, (folder, said, *paths))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as publisher:
        assert publisher.stdin is not None
        assert publisher.stdout is not None
        for turn in range(kills):
            publisher.stdin.write(f"{turn}\n")
            publisher.stdin.flush()
            child = int(publisher.stdout.readline())
            time.sleep(delays.uniform(0.001, 0.1))
            os.kill(child, signal.SIGKILL)
            assert publisher.stdout.readline() == "dead\n"
            reopened = Store.open(folder)
            assert reopened.load("same").content in {one.content for one in artifacts}
            assert set(said.read_text().split()) <= set(reopened.task_ids())
        publisher.stdin.close()
    assert publisher.returncode == 0
    acknowledged = set(said.read_text().split())
    faults.add(
        "Store",
        "a publisher killed (kill -9) at a random moment",
        times=kills,
        checked=len(acknowledged),
        of="acknowledged tasks",
        lost=len(acknowledged - set(reopened.task_ids())),
    )
    assert_only_leftovers(folder)
    assert verify_store(folder).tasks == len(reopened.task_ids()) > 1
