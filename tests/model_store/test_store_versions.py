"""A task's versions: kept within a bound, moved, dropped, and whole whatever happens meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_store.canary import Canary
from model_store.errors import CorruptArtifact, InvalidTaskName, UnknownTask, VersionInUse
from model_store.kept_versions import KEPT_VERSIONS
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from model_store.verify import verify_store
from tests.damage import damage_content

MakeArtifact = Callable[..., TaskArtifact]


class Refused(Exception):
    """What a publisher's condition raises."""


def take(_: str | None) -> None:
    """Whatever is current."""


@pytest.fixture
def artifacts(network: FrozenNetwork, make_artifact: MakeArtifact) -> list[TaskArtifact]:
    return [make_artifact(network, seed=seed) for seed in range(KEPT_VERSIONS + 4)]


def hashes(artifacts: list[TaskArtifact]) -> list[str]:
    return [one.content_hash for one in artifacts]


def test_the_latest_versions_are_kept_in_order_within_the_bound(
    store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    for count, one in enumerate(artifacts, 1):
        store.publish("clothes", one)
        kept = artifacts[max(0, count - KEPT_VERSIONS) : count]
        assert store.versions.of("clothes") == hashes(kept)
    opened = Store.open(folder)
    assert opened.versions.of("clothes") == hashes(kept)
    for artifact in kept:
        assert opened.load_version("clothes", artifact.content_hash).content == artifact.content
    with pytest.raises(UnknownTask, match=artifacts[0].content_hash):
        opened.load_version("clothes", artifacts[0].content_hash)
    assert opened.task_ids() == ["clothes"]
    assert (verify_store(folder).tasks, verify_store(folder).findings) == (1, ())


def test_versions_survive_compaction_and_as_many_as_are_asked_for(
    store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    for one in artifacts[:6]:
        store.publish("clothes", one)
    store.compact()
    assert Store.open(folder).versions.of("clothes") == hashes(artifacts[:6])
    before = store.log.whole_bytes
    store.compact(keep=2)
    assert Store.open(folder).versions.of("clothes") == hashes(artifacts[4:6])
    assert store.log.whole_bytes < before
    store.compact(keep=1)
    assert Store.open(folder).versions.of("clothes") == hashes(artifacts[5:6])
    assert store.log.live_bytes + len(b"impress segments 1\n") == store.log.whole_bytes


def test_version_that_was_replaced_last_is_dropped_last(
    store: Store, artifacts: list[TaskArtifact]
) -> None:
    for one in artifacts[:KEPT_VERSIONS]:
        store.publish("clothes", one)
    store.publish("clothes", artifacts[0])
    store.publish("clothes", artifacts[-1])
    kept = store.versions.of("clothes")
    assert kept[-2:] == hashes([artifacts[0], artifacts[-1]])
    assert artifacts[1].content_hash not in kept
    assert len(kept) == KEPT_VERSIONS


def test_publisher_is_told_what_is_current_and_may_refuse(
    store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    told: list[str | None] = []

    def refuse(current: str | None) -> None:
        told.append(current)
        raise Refused

    with pytest.raises(Refused):
        store.versions.publish("clothes", artifacts[0], refuse)
    assert store.versions.publish("clothes", artifacts[0], take) is None
    Store.open(folder).publish("clothes", artifacts[1])
    with pytest.raises(Refused):
        store.versions.publish("clothes", artifacts[2], refuse)
    with pytest.raises(Refused):
        store.delete("clothes", refuse)
    assert told == [None, *[artifacts[1].content_hash] * 2]
    assert store.current_hash("clothes") == artifacts[1].content_hash
    before = store.log.whole_bytes
    assert store.versions.publish("clothes", artifacts[1], take) == artifacts[1].content_hash
    assert store.log.whole_bytes == before


def test_version_that_is_added_does_not_answer(store: Store, artifacts: list[TaskArtifact]) -> None:
    with pytest.raises(UnknownTask):
        store.versions.add("clothes", artifacts[1])
    store.publish("clothes", artifacts[0])
    assert store.versions.add("clothes", artifacts[1]) is True
    assert store.versions.add("clothes", artifacts[1]) is False
    assert store.versions.add("clothes", artifacts[0]) is False
    assert store.current_hash("clothes") == artifacts[0].content_hash
    assert store.versions.of("clothes") == hashes([artifacts[1], artifacts[0]])
    for one in artifacts[2:]:
        store.versions.add("clothes", one)
    latest = artifacts[len(artifacts) - KEPT_VERSIONS + 1 :]
    assert store.versions.of("clothes") == [*hashes(latest), artifacts[0].content_hash]


def test_canary_is_kept_with_its_version_whatever_is_published(
    store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    store.publish("clothes", artifacts[0])
    canary = Canary(version=artifacts[0].content_hash, share=0.1)
    store.versions.set_canary("clothes", canary)
    before = store.log.whole_bytes
    store.versions.set_canary("clothes", canary)
    assert store.log.whole_bytes == before
    for one in artifacts[1:]:
        store.publish("clothes", one)
    store.compact(keep=1)
    opened = Store.open(folder)
    assert opened.versions.canary("clothes") == canary
    assert opened.versions.of("clothes") == hashes([artifacts[0], artifacts[-1]])
    with pytest.raises(VersionInUse, match="canary"):
        opened.versions.delete("clothes", canary.version)
    with pytest.raises(VersionInUse, match="current"):
        opened.versions.delete("clothes", artifacts[-1].content_hash)
    opened.versions.set_canary("clothes", None)
    opened.versions.delete("clothes", canary.version)
    assert store.versions.of("clothes") == hashes(artifacts[-1:])
    assert store.versions.canary("clothes") is None
    with pytest.raises(UnknownTask, match="no canary"):
        store.versions.set_canary("clothes", None)
    with pytest.raises(UnknownTask, match=canary.version):
        store.versions.set_canary("clothes", canary)


def test_deleted_task_takes_what_is_beside_it_along(
    store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    for one in artifacts[:3]:
        store.publish("clothes", one)
        store.publish("clothes2", one)
    canary = Canary(version=artifacts[0].content_hash, share=1)
    store.versions.set_canary("clothes", canary)
    store.delete("clothes")
    for opened in (store, Store.open(folder)):
        assert set(opened.log.beside) == {"clothes2"}
        with pytest.raises(UnknownTask):
            opened.versions.of("clothes")
        assert opened.versions.canary("clothes") is None
    store.publish("clothes", artifacts[3])
    assert store.versions.of("clothes") == hashes(artifacts[3:4])
    assert store.versions.of("clothes2") == hashes(artifacts[:3])


def test_damaged_version_is_named_and_hurts_no_other(
    store: Store, folder: Path, artifacts: list[TaskArtifact]
) -> None:
    for one in artifacts[:3]:
        store.publish("clothes", one)
    damage_content(folder, f"clothes@{artifacts[0].content_hash}")
    with pytest.raises(CorruptArtifact, match=artifacts[0].content_hash):
        store.load_version("clothes", artifacts[0].content_hash)
    assert store.load_version("clothes", artifacts[1].content_hash).content == artifacts[1].content
    (finding,) = verify_store(folder).findings
    assert artifacts[0].content_hash in finding.problem
    assert verify_store(folder).tasks == 1


@pytest.mark.parametrize("name", ["", "auto", "../x", "a@b", "x@canary", "x" * 129])
def test_what_is_beside_a_task_is_no_task(
    store: Store, artifacts: list[TaskArtifact], name: str
) -> None:
    calls: Iterator[Callable[[], object]] = iter(
        [
            lambda: store.versions.of(name),
            lambda: store.versions.canary(name),
            lambda: store.versions.add(name, artifacts[0]),
            lambda: store.versions.publish(name, artifacts[0], take),
            lambda: store.versions.delete(name, artifacts[0].content_hash),
            lambda: store.versions.set_canary(name, None),
        ]
    )
    for call in calls:
        with pytest.raises(InvalidTaskName):
            call()
