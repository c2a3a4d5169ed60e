import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model_store.errors import CorruptArtifact, CorruptStore, StoreNotFound
from model_store.files import LocalFolder
from model_store.manifest import Manifest
from model_store.network import FrozenNetwork
from model_store.segment_file import SEGMENT_START, frame
from model_store.segment_list import segment_path
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from model_store.verify import Verification, verify_store
from tests.damage import damage_content

MakeArtifact = Callable[..., TaskArtifact]
FORMS = ["fp16", "int8", "int4", "int2", "hybrid", "supermask"]


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory,
    networks: dict[str, FrozenNetwork],
    make_artifact: MakeArtifact,
) -> Path:
    """A store with a learned bank and a task of every form; whoever damages it mends it."""
    folder = tmp_path_factory.mktemp("store")
    network = networks["heterogeneous"]
    store = Store.create(folder, network)
    for form in FORMS:
        store.publish(form, make_artifact(network, form))
    return folder


@contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    original = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(original)


def findings(folder: Path) -> list[str]:
    return [finding.path for finding in verify_store(folder).findings]


def flipped(data: bytes, at: int, bits: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


POSITIONS = st.integers(0, 2**16)
BITS = st.integers(1, 255)


def test_whole_store_has_no_findings(whole: Path) -> None:
    assert verify_store(whole) == Verification(len(FORMS), ())


def test_store_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        verify_store(tmp_path)


@given(POSITIONS, BITS)
def test_any_flipped_byte_of_a_segment_is_found_and_never_served(
    whole: Path, at: int, bits: int
) -> None:
    (path,) = (whole / "segments").glob("*.seg")
    hashes = {form: Store.open(whole).current_hash(form) for form in FORMS}
    with replaced(path, flipped(path.read_bytes(), at, bits)):
        assert set(findings(whole)) == {f"segments/{path.name}"}
        try:
            opened = Store.open(whole)
        except CorruptStore:
            assert at % path.stat().st_size < len(SEGMENT_START)
            return
        served = [served_hash(opened, form) for form in FORMS]
    assert sum(one is None for one in served) <= 1
    assert set(zip(FORMS, served, strict=True)) <= hashes.items() | {(f, None) for f in FORMS}


def served_hash(store: Store, task_id: str) -> str | None:
    """None where the task is refused with its name."""
    try:
        return store.load(task_id).content_hash
    except CorruptArtifact as error:
        return None if f"task {task_id!r} at byte " in str(error) else str(error)


@given(POSITIONS, BITS)
def test_any_flipped_byte_of_the_bank_is_found_and_named(whole: Path, at: int, bits: int) -> None:
    bank = whole / "bank.safetensors"
    with replaced(bank, flipped(bank.read_bytes(), at, bits)):
        with pytest.raises(CorruptStore, match=r"^bank\.safetensors: "):
            Store.open(whole)
        assert findings(whole) == ["bank.safetensors"]


@given(POSITIONS, BITS)
def test_any_flipped_byte_that_changes_the_manifests_meaning_is_found(
    whole: Path, at: int, bits: int
) -> None:
    path = whole / "manifest.json"
    original = path.read_bytes()
    data = flipped(original, at, bits)
    assume(_meaning(data) != _meaning(original))
    with replaced(path, data):
        assert findings(whole) != []


def _meaning(manifest: bytes) -> Manifest | None:
    """What the manifest says of the network; when it was made no other file can confirm."""
    try:
        parsed = Manifest.from_bytes(manifest, "")
    except CorruptStore:
        return None
    return parsed.model_copy(update={"created": None})


def test_missing_bank_is_named(whole: Path) -> None:
    bank = whole / "bank.safetensors"
    data = bank.read_bytes()
    bank.unlink()
    try:
        assert findings(whole) == ["bank.safetensors"]
    finally:
        bank.write_bytes(data)


def test_manifest_of_a_later_version_is_named(store: Store, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 4}))
    (finding,) = verify_store(folder).findings
    assert finding.path == "manifest.json"
    assert finding.problem.startswith("version: ")


@pytest.mark.parametrize("path", [".tmp-0123", "segments/.tmp-0123", "segments/00000007.seg"])
def test_leftover_of_an_unfinished_write_is_named_as_such(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact, path: str
) -> None:
    store.publish("clothes", make_artifact(network))
    (folder / path).write_bytes(b"half")
    (finding,) = verify_store(folder).findings
    assert finding.path == path
    assert "left over" in finding.problem
    assert store.task_ids() == ["clothes"]


def test_torn_tail_is_named_as_left_over(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    store.publish("clothes", make_artifact(network))
    path = folder / segment_path(1)
    path.write_bytes(path.read_bytes() + frame("new", b"h" * 32, b"content")[:-3])
    (finding,) = verify_store(folder).findings
    assert finding.path == "segments/00000001.seg"
    assert "left over" in finding.problem
    assert verify_store(folder).tasks == 1


@pytest.mark.parametrize("path", ["notes.txt", "segments/notes.txt"])
def test_foreign_file_is_named(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact, path: str
) -> None:
    store.publish("clothes", make_artifact(network))
    (folder / path).write_bytes(b"x")
    assert findings(folder) == [path]


def test_damaged_earlier_version_is_named_and_hurts_no_task(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    store.publish("clothes", make_artifact(network, seed=1))
    damage_content(folder, "clothes")
    store.publish("clothes", make_artifact(network, seed=2))
    (finding,) = verify_store(folder).findings
    assert finding.path == "segments/00000001.seg"
    assert finding.problem.startswith("task 'clothes' at byte 19: ")
    assert verify_store(folder).tasks == 1


def test_artifact_of_another_store_is_named(
    store: Store, folder: Path, networks: dict[str, FrozenNetwork], make_artifact: MakeArtifact
) -> None:
    foreign = make_artifact(networks["random"])
    store.publish("clothes", make_artifact(networks["partition"]))
    content_hash = bytes.fromhex(foreign.content_hash)
    LocalFolder(folder).append(segment_path(1), frame("clothes", content_hash, foreign.content))
    (finding,) = verify_store(folder).findings
    assert "task 'clothes'" in finding.problem
    assert "bank fingerprint" in finding.problem
    assert verify_store(folder).tasks == 0


def test_every_damaged_task_is_named_not_only_the_first(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(network)
    for task_id in ("a", "b", "c"):
        store.publish(task_id, artifact)
        damage_content(folder, task_id)
    problems = [finding.problem for finding in verify_store(folder).findings]
    assert [problem[:9] for problem in problems] == ["task 'a' ", "task 'b' ", "task 'c' "]
