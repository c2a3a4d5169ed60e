import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model_store.errors import CorruptArtifact, CorruptStore, StoreNotFound
from model_store.manifest import Manifest
from model_store.network import FrozenNetwork
from model_store.store import Store, artifact_path
from model_store.task_artifact import TaskArtifact
from model_store.verify import Finding, Verification, verify_store

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


def current_artifact(folder: Path, task_id: str) -> str:
    return artifact_path(task_id, (folder / "tasks" / task_id / "current").read_text().strip())


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


def _lengths(data: bytes) -> list[int]:
    header = 8 + int.from_bytes(data[:8], "little")
    edges = [0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1]
    return [*edges, (header + len(data)) // 2, len(data) - 2, len(data) - 1]


@pytest.mark.parametrize("form", FORMS)
def test_artifact_cut_at_any_part_is_corrupt_and_named(whole: Path, form: str) -> None:
    path = current_artifact(whole, form)
    store = Store.open(whole)
    data = (whole / path).read_bytes()
    for length in _lengths(data):
        assert length < len(data)
        with replaced(whole / path, data[:length]):
            with pytest.raises(CorruptArtifact, match=path):
                store.load(form)
            verification = verify_store(whole)
        assert [finding.path for finding in verification.findings] == [path]
        assert verification.tasks == len(FORMS) - 1


@pytest.mark.parametrize("form", FORMS)
def test_artifact_with_something_after_its_end_is_corrupt_and_named(whole: Path, form: str) -> None:
    path = current_artifact(whole, form)
    with replaced(whole / path, (whole / path).read_bytes() + b"\x00"):
        with pytest.raises(CorruptArtifact, match=path):
            Store.open(whole).load(form)
        assert findings(whole) == [path]


@given(st.sampled_from(FORMS), POSITIONS, BITS)
def test_any_flipped_byte_of_an_artifact_is_found_and_named(
    whole: Path, form: str, at: int, bits: int
) -> None:
    path = current_artifact(whole, form)
    with replaced(whole / path, flipped((whole / path).read_bytes(), at, bits)):
        with pytest.raises(CorruptArtifact, match=path):
            Store.open(whole).load(form)
        assert findings(whole) == [path]


@given(st.sampled_from(FORMS), POSITIONS, BITS)
def test_any_flipped_byte_of_a_pointer_is_found(whole: Path, form: str, at: int, bits: int) -> None:
    pointer = whole / "tasks" / form / "current"
    with replaced(pointer, flipped(pointer.read_bytes(), at, bits)):
        with pytest.raises(CorruptArtifact, match=f"^tasks/{form}/"):
            Store.open(whole).load(form)
        (path,) = findings(whole)
    assert path.startswith(f"tasks/{form}/")


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
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 2}))
    (finding,) = verify_store(folder).findings
    assert finding.path == "manifest.json"
    assert finding.problem.startswith("version: ")


def test_missing_artifact_is_named(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    store.publish("clothes", make_artifact(network))
    path = current_artifact(folder, "clothes")
    (folder / path).unlink()
    assert verify_store(folder) == Verification(
        0, (Finding(path, "missing, though it is current"),)
    )


@pytest.mark.parametrize(
    "path",
    [".tmp-0123", "tasks/.tmp-0123", "tasks/clothes/.tmp-0123"],
    ids=["root", "tasks", "task"],
)
def test_leftover_of_an_unfinished_write_is_named_as_such(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact, path: str
) -> None:
    store.publish("clothes", make_artifact(network))
    (folder / path).write_bytes(b"half")
    (finding,) = verify_store(folder).findings
    assert finding.path == path
    assert "left over" in finding.problem
    assert store.task_ids() == ["clothes"]


@pytest.mark.parametrize("path", ["notes.txt", "tasks/a b", "tasks/clothes/notes.txt"])
def test_foreign_file_is_named(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact, path: str
) -> None:
    store.publish("clothes", make_artifact(network))
    (folder / path).write_bytes(b"x")
    assert findings(folder) == [path]


def test_folder_in_an_artifacts_place_is_named(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    store.publish("clothes", make_artifact(network))
    path = current_artifact(folder, "clothes")
    (folder / path).unlink()
    (folder / path).mkdir()
    verification = verify_store(folder)
    assert verification.tasks == 0
    (finding,) = verification.findings
    assert finding.path == path
    assert finding.problem.startswith("cannot be read: ")


def test_damaged_earlier_version_is_named_too(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    first = make_artifact(network, seed=1)
    store.publish("clothes", first)
    store.publish("clothes", make_artifact(network, seed=2))
    path = artifact_path("clothes", first.content_hash)
    (folder / path).write_bytes(first.content[:-1])
    assert findings(folder) == [path]


def test_artifact_of_another_store_is_named(
    store: Store, folder: Path, networks: dict[str, FrozenNetwork], make_artifact: MakeArtifact
) -> None:
    foreign = make_artifact(networks["random"])
    path = artifact_path("clothes", foreign.content_hash)
    store.files.write(path, foreign.content)
    store.files.write("tasks/clothes/current", f"{foreign.content_hash}\n".encode())
    (finding,) = verify_store(folder).findings
    assert finding.path == path
    assert "bank fingerprint" in finding.problem


def test_every_damaged_file_is_named_not_only_the_first(
    store: Store, folder: Path, network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifact = make_artifact(network)
    paths = []
    for task_id in ("a", "b", "c"):
        store.publish(task_id, artifact)
        paths.append(artifact_path(task_id, artifact.content_hash))
    for path in paths:
        (folder / path).write_bytes(artifact.content[:-1])
    assert findings(folder) == paths
