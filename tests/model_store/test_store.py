import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from model_store.errors import (
    CorruptArtifact,
    CorruptStore,
    IncompatibleBackbone,
    InvalidArtifact,
    InvalidTaskName,
    StoreExists,
    StoreNotFound,
    UnknownTask,
)
from model_store.network import FrozenNetwork
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from tests.damage import damage_content

MakeArtifact = Callable[..., TaskArtifact]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_published_task_is_loaded_bit_by_bit_from_a_store_opened_anew(
    store: Store, folder: Path, each_artifact: TaskArtifact
) -> None:
    assert store.publish("clothes", each_artifact)
    loaded = Store.open(folder).load("clothes")
    assert loaded.record == each_artifact.record
    assert loaded.content == each_artifact.content
    for name, tensor in each_artifact.tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)


def test_opened_store_has_the_network_it_was_created_with(
    tmp_path: Path, each_network: FrozenNetwork
) -> None:
    Store.create(tmp_path / "store", each_network)
    opened = Store.open(tmp_path / "store").network
    assert opened.manifest == each_network.manifest
    assert opened.bank.fingerprint() == each_network.bank.fingerprint()
    for name, weight in each_network.weights.items():
        assert torch.equal(opened.weights[name], weight)


def test_only_a_learned_bank_has_a_file(tmp_path: Path, each_network: FrozenNetwork) -> None:
    Store.create(tmp_path / "store", each_network)
    seeded = each_network.manifest.bank.kind in ("partition", "random")
    learned = set() if seeded else {"bank.safetensors"}
    expected = {"manifest.json", "segments/list.json"} | learned
    assert set(contents(tmp_path / "store")) == expected


def test_new_store_has_no_tasks(store: Store) -> None:
    assert store.task_ids() == []
    assert store.current_hash("clothes") is None


def test_tasks_are_listed_in_order(
    store: Store, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    for task_id in ("b", "a.1", "C"):
        store.publish(task_id, make_artifact(network))
    assert store.task_ids() == ["C", "a.1", "b"]


def test_publishing_again_replaces_and_says_so(
    store: Store, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    first, second = make_artifact(network, seed=1), make_artifact(network, seed=2)
    assert store.publish("clothes", first) is True
    assert store.publish("clothes", second) is False
    assert store.current_hash("clothes") == second.content_hash
    assert store.load("clothes").content == second.content
    assert store.load_version("clothes", first.content_hash).content == first.content
    assert store.task_ids() == ["clothes"]


def test_publishing_the_same_artifact_twice_changes_nothing(
    store: Store, folder: Path, each_artifact: TaskArtifact
) -> None:
    store.publish("clothes", each_artifact)
    before = contents(folder)
    assert store.publish("clothes", each_artifact) is False
    assert contents(folder) == before


def test_deleted_task_is_gone_with_all_its_versions(
    store: Store, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    versions = [make_artifact(network, seed=seed) for seed in (1, 2)]
    for version in versions:
        store.publish("clothes", version)
    store.delete("clothes")
    for version in versions:
        with pytest.raises(UnknownTask, match=version.content_hash):
            store.load_version("clothes", version.content_hash)
    assert store.task_ids() == []
    assert store.current_hash("clothes") is None
    with pytest.raises(UnknownTask, match="'clothes'"):
        store.load("clothes")
    with pytest.raises(UnknownTask, match="'clothes'"):
        store.delete("clothes")


def test_deleting_one_task_leaves_the_others(
    store: Store, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(network)
    store.publish("one", artifact)
    store.publish("two", artifact)
    store.delete("one")
    assert store.task_ids() == ["two"]
    assert store.load("two").content == artifact.content


def test_deleted_task_can_be_published_again(
    store: Store, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(network)
    store.publish("clothes", artifact)
    store.delete("clothes")
    assert store.publish("clothes", artifact) is True
    assert store.load("clothes").content == artifact.content


def unfit(network: FrozenNetwork, make: MakeArtifact) -> dict[str, TaskArtifact]:
    record = make(network).record
    halves = torch.zeros(30, dtype=torch.float16)
    other = "0" * 16
    return {
        "nan": TaskArtifact(record, {"coefficients": halves * float("nan")}),
        "infinity": TaskArtifact(record, {"coefficients": halves + float("inf")}),
        "wrong K": TaskArtifact(record, {"coefficients": halves[3:]}),
        "wrong layers": TaskArtifact(record, {"coefficients": halves[10:]}),
        "wrong dtype": TaskArtifact(record, {"coefficients": halves.double()}),
        "too many classes": make(network, classes=tuple("abcdef")),
        "other weights": make(network, made_for={"weights": other}),
        "other bank": make(network, made_for={"bank": other}),
        "other preprocessing": make(network, made_for={"preprocessing": other}),
        "half a supermask": TaskArtifact(
            record, {"supermask/hidden1.weight": torch.zeros(338, dtype=torch.uint8)}
        ),
    }


UNFIT = [
    "nan",
    "infinity",
    "wrong K",
    "wrong layers",
    "wrong dtype",
    "too many classes",
    "other weights",
    "other bank",
    "other preprocessing",
    "half a supermask",
]


@pytest.mark.parametrize("case", UNFIT)
@pytest.mark.parametrize("task_id", ["clothes", "new"])
def test_refused_publish_changes_nothing_on_disk(
    store: Store,
    folder: Path,
    network: FrozenNetwork,
    make_artifact: MakeArtifact,
    task_id: str,
    case: str,
) -> None:
    store.publish("clothes", make_artifact(network))
    before = contents(folder)
    with pytest.raises((InvalidArtifact, IncompatibleBackbone)):
        store.publish(task_id, unfit(network, make_artifact)[case])
    assert contents(folder) == before
    assert store.task_ids() == ["clothes"]


@pytest.mark.parametrize("name", ["", "auto", "..", "../manifest", "a/b", "clothes\n", "x" * 129])
def test_bad_name_is_refused_by_every_call_and_changes_nothing(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact, name: str
) -> None:
    artifact = make_artifact(network)
    store.publish("clothes", artifact)
    before = contents(folder.parent)
    calls: list[Callable[[], object]] = [
        lambda: store.publish(name, artifact),
        lambda: store.load(name),
        lambda: store.load_version(name, artifact.content_hash),
        lambda: store.delete(name),
        lambda: store.current_hash(name),
    ]
    for call in calls:
        with pytest.raises(InvalidTaskName):
            call()
    assert contents(folder.parent) == before


def test_store_is_never_created_over_another(
    store: Store, folder: Path, networks: dict[str, FrozenNetwork]
) -> None:
    before = contents(folder)
    with pytest.raises(StoreExists, match="store already"):
        Store.create(folder, networks["heterogeneous"])
    assert contents(folder) == before


def test_opening_what_is_no_store_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(StoreNotFound, match=str(path)):
            Store.open(path)


def test_store_without_its_learned_bank_is_corrupt(
    tmp_path: Path, networks: dict[str, FrozenNetwork]
) -> None:
    Store.create(tmp_path, networks["heterogeneous"])
    (tmp_path / "bank.safetensors").unlink()
    with pytest.raises(CorruptStore, match=r"^bank\.safetensors: missing"):
        Store.open(tmp_path)


def test_damaged_task_is_named_hurts_no_other_and_can_be_mended(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    first, second = make_artifact(network, seed=1), make_artifact(network, seed=2)
    for task_id, artifact in (("broken", first), ("broken", second), ("whole", first)):
        store.publish(task_id, artifact)
    damage_content(folder, "broken")
    for opened in (store, Store.open(folder)):
        assert opened.task_ids() == ["broken", "whole"]
        assert opened.load("whole").content == first.content
        with pytest.raises(CorruptArtifact, match=r"^segments/00000001\.seg: task 'broken' at "):
            opened.load("broken")
    assert store.publish("broken", second) is False
    assert Store.open(folder).load("broken").content == second.content


def test_damaged_task_can_be_deleted(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    store.publish("broken", make_artifact(network))
    damage_content(folder, "broken")
    store.delete("broken")
    assert store.task_ids() == []


def test_many_are_published_as_one_by_one(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    store.publish("task-1", make_artifact(network, seed=9))
    artifacts = {f"task-{seed}": make_artifact(network, seed=seed) for seed in range(5)}
    assert store.publish_many(artifacts.items()) == 4
    opened = Store.open(folder)
    assert {task_id: opened.load(task_id).content for task_id in opened.task_ids()} == {
        task_id: artifact.content for task_id, artifact in artifacts.items()
    }


def test_publishers_at_once_lose_nothing_of_each_other(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifacts = [make_artifact(network, seed=seed) for seed in range(30)]

    def publish(who: str) -> None:
        own = Store.open(folder)
        for index, artifact in enumerate(artifacts):
            own.publish(f"{who}-{index}", artifact)
            own.publish("shared", artifact)

    with ThreadPoolExecutor(3) as publishers:
        list(publishers.map(publish, "abc"))
    expected = {f"{who}-{index}": one for who in "abc" for index, one in enumerate(artifacts)}
    assert set(store.task_ids()) == {"shared", *expected}
    for task_id, artifact in expected.items():
        assert store.load(task_id).content == artifact.content
    assert store.load("shared").content == artifacts[-1].content


@pytest.mark.parametrize("version", [1, 2])
def test_store_of_an_earlier_form_is_refused_in_words(
    store: Store, folder: Path, version: int
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": version}))
    with pytest.raises(CorruptStore, match=rf"version: .*{version}, .*earlier.*make it again"):
        Store.open(folder)


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        ("list.json", None, "missing"),
        ("list.json", b"[1", "expected a list of segments"),
        ("list.json", b'{"version": 1, "segments": [1, 2], "crc32": 1}', "checksum"),
        ("list.json", b'{"version": 2, "segments": [1], "crc32": 1}', "version 1, got 2"),
        ("00000001.seg", None, "missing, but listed"),
        ("00000001.seg", b"impress segments 2\n", "begin with"),
    ],
)
def test_damage_to_the_list_or_a_segments_beginning_is_named(
    store: Store,
    folder: Path,
    network: FrozenNetwork,
    make_artifact: MakeArtifact,
    path: str,
    data: bytes | None,
    said: str,
) -> None:
    store.publish("clothes", make_artifact(network))
    target = folder / "segments" / path
    target.unlink()
    if data is not None:
        target.write_bytes(data)
    with pytest.raises(CorruptStore, match=rf"^segments/{path}: .*{said}"):
        Store.open(folder)
