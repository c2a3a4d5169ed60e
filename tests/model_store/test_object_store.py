"""A store in an object store: whatever a folder's does, by the same calls."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from model_store.canary import Canary
from model_store.errors import StoreExists, StoreNotFound, UnknownTask
from model_store.locations import location
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from model_store.verify import verify_store
from tests.model_store.test_command_line import model_store
from tests.model_store.test_store_changes import Follower, assert_in_step
from tests.object_stores import BUCKET, REACHED_BY
from tests.real_parts import free_port

MakeArtifact = Callable[..., TaskArtifact]

PREFIXES = count()


@pytest.fixture
def place(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, with what a person would set to reach it."""
    for name, value in (REACHED_BY | {"AWS_ENDPOINT_URL": s3_endpoint}).items():
        monkeypatch.setenv(name, value)
    return Path(f"s3://{BUCKET}/by-path/{next(PREFIXES)}")


@pytest.fixture
def artifacts(network: FrozenNetwork, make_artifact: MakeArtifact) -> list[TaskArtifact]:
    return [make_artifact(network, seed=seed) for seed in range(4)]


def test_store_of_every_bank_is_opened_as_it_was_created(
    place: Path, each_network: FrozenNetwork
) -> None:
    Store.create(place, each_network)
    opened = Store.open(place)
    assert opened.network.manifest == each_network.manifest
    assert opened.network.bank.fingerprint() == each_network.bank.fingerprint()
    assert opened.task_ids() == []
    assert verify_store(place).findings == ()


def test_changes_by_one_are_there_for_another(
    place: Path, network: FrozenNetwork, artifacts: list[TaskArtifact]
) -> None:
    one, other = Store.create(place, network), Store.open(place)
    assert one.publish("a", artifacts[0])
    assert not other.publish("a", artifacts[1])
    assert one.publish_many([("b", artifacts[2]), ("c", artifacts[3])]) == 2
    other.delete("c")
    assert one.task_ids() == ["a", "b"]
    assert one.load("a").content == artifacts[1].content
    assert one.load_version("a", artifacts[0].content_hash).content == artifacts[0].content
    with pytest.raises(UnknownTask):
        one.delete("c")
    one.compact(keep=1)
    assert Store.open(place).load("b").content == artifacts[2].content
    with pytest.raises(UnknownTask):
        other.load_version("a", artifacts[0].content_hash)
    assert verify_store(place).tasks == 2
    assert verify_store(place).findings == ()


def test_publishing_what_is_there_already_writes_nothing(
    place: Path, network: FrozenNetwork, artifacts: list[TaskArtifact]
) -> None:
    store = Store.create(place, network)
    store.publish("a", artifacts[0])
    before = store.files.names("segments")
    assert not store.publish("a", artifacts[0])
    assert store.files.names("segments") == before


def test_follower_is_told_what_changed_and_of_compactions_nothing(
    place: Path, network: FrozenNetwork, artifacts: list[TaskArtifact]
) -> None:
    store = Store.create(place, network)
    store.publish_many([("a", artifacts[0]), ("b", artifacts[1])])
    follower = Follower(place)
    assert follower.look() == ["a", "b"]
    store.publish("c", artifacts[2])
    store.delete("a")
    assert sorted(follower.look(thorough=True)) == ["a", "c"]
    store.compact()
    assert follower.look(thorough=True) == []
    assert_in_step(follower, place)


def test_of_creators_at_once_one_makes_the_store_and_the_others_are_told(
    place: Path, network: FrozenNetwork, artifacts: list[TaskArtifact]
) -> None:
    def create(who: int) -> str | None:
        try:
            Store.create(place, network).publish(f"task-{who}", artifacts[who])
        except StoreExists:
            return None
        return f"task-{who}"

    with ThreadPoolExecutor(4) as threads:
        made = [name for name in threads.map(create, range(4)) if name is not None]
    assert len(made) == 1
    assert Store.open(place).task_ids() == made
    with pytest.raises(StoreExists, match=location(place)):
        Store.create(place, network)


def test_commands_take_its_url_and_name_it_as_it_was_written(
    place: Path, network: FrozenNetwork, artifacts: list[TaskArtifact]
) -> None:
    store = Store.create(place, network)
    store.publish("a", artifacts[0])
    url = location(place)
    assert url.startswith("s3://")
    verified = model_store("verify", url)
    assert (verified.returncode, verified.stdout) == (0, "1 tasks whole, 0 findings\n")
    assert model_store("compact", url).returncode == 0
    assert model_store("list", url).stdout.startswith("a\t")
    store.files.write("stranger", b"")
    assert model_store("verify", url).stdout.startswith(f"{url}/stranger: not a file of a store")


def test_what_is_no_store_is_not_found_and_says_where_it_was_looked_for(place: Path) -> None:
    with pytest.raises(StoreNotFound, match=location(place)):
        Store.open(place)
    with pytest.raises(StoreNotFound, match="ftp://somewhere"):
        Store.open(Path("ftp://somewhere/else"))


def test_object_store_that_cannot_be_reached_is_told_of_in_a_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    listed = model_store("list", location(place))
    assert listed.returncode == 2
    assert listed.stderr.startswith(f"error: [Errno 5] {location(place)}/manifest.json")
    assert "Traceback" not in listed.stderr


def test_versions_and_canary_of_one_are_there_for_another(
    place: Path, network: FrozenNetwork, artifacts: list[TaskArtifact]
) -> None:
    one, other = Store.create(place, network), Store.open(place)
    for artifact in artifacts[:3]:
        one.publish("a", artifact)
    hashes = [artifact.content_hash for artifact in artifacts]
    canary = Canary(version=hashes[0], share=0.5)
    other.versions.set_canary("a", canary)
    other.versions.add("a", artifacts[3])
    one.compact(keep=2)
    for opened in (one, other, Store.open(place)):
        assert opened.versions.of("a") == [hashes[0], hashes[3], hashes[2]]
        assert opened.versions.canary("a") == canary
        assert opened.load_version("a", hashes[0]).content == artifacts[0].content
    one.delete("a")
    assert other.versions.canary("a") is None
    assert verify_store(place).findings == ()
