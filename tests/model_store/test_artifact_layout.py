import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from model_store.artifact_layout import LayoutReader, class_names
from model_store.compatibility import check_artifact
from model_store.errors import StoreError
from model_store.network import FrozenNetwork
from model_store.task_artifact import METADATA_KEY, TaskArtifact, parse_artifact, tagged
from model_store.task_record import SWAPPED_QUOTES
from model_store.task_tags import parted_tags

MakeArtifact = Callable[..., TaskArtifact]


def read(reader: LayoutReader, content: bytes) -> Any:
    return reader.read(content, hashlib.sha256(content).digest())


def test_laid_out_tensors_are_the_artifacts(
    network: FrozenNetwork, each_artifact: TaskArtifact
) -> None:
    reader = LayoutReader(network)
    for _ in range(2):
        found = read(reader, each_artifact.content)
        assert found.layout.kind == each_artifact.kind
        assert found.layout.tensor_bytes == each_artifact.tensor_bytes
        assert found.content_hash.hex() == each_artifact.content_hash
        assert class_names(found.classes) == each_artifact.record.classes
        tensors = {place.name: found.tensor(place) for place in found.layout.tensors}
        assert tensors.keys() == each_artifact.tensors.keys()
        for name, tensor in each_artifact.tensors.items():
            assert torch.equal(torch.from_numpy(tensors[name].copy()), tensor)


def test_empty_mask_is_laid_out_too(network: FrozenNetwork, make_artifact: MakeArtifact) -> None:
    artifact = make_artifact(network, "sparse")
    name = next(name for name in artifact.tensors if name.startswith("supermask-indices/"))
    none = torch.zeros(0, dtype=torch.int32)
    emptied = TaskArtifact(artifact.record, {**artifact.tensors, name: none})
    found = read(LayoutReader(network), emptied.content)
    (place,) = (place for place in found.layout.tensors if place.name == name)
    assert found.tensor(place).shape == (0,)


def test_artifacts_of_one_form_share_a_layout_whatever_they_say_of_themselves(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    reader = LayoutReader(network)
    artifacts = [
        make_artifact(network, seed=1),
        make_artifact(network, seed=2, classes=("x",), provenance={}),
        make_artifact(network, seed=3, held_out=None, classes=("0", "1", "2")),
    ]
    layouts = [read(reader, artifact.content).layout for artifact in artifacts]
    assert layouts[0] is layouts[1] is layouts[2]
    assert read(reader, make_artifact(network, "int8").content).layout is not layouts[0]


def test_tags_are_laid_out_of_every_artifact_of_a_form(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    reader, artifact = LayoutReader(network), make_artifact(network)
    for tags in (("a", "site:x"), ("b",), ("a", "site:x")):
        found = read(reader, tagged(artifact, tags).content)
        assert parted_tags(found.tags) == tags
    assert parted_tags(read(reader, artifact.content).tags) == ()
    assert tagged(tagged(artifact, ["b"]), []).content == artifact.content


@pytest.mark.parametrize(
    "tags", [["b", "a"], ["a", "a"], ["a b"], [1], "a", [["a"]], [], ["x"] * 17, None]
)
def test_tags_that_no_trainer_writes_are_refused_after_good_ones_of_the_same_form(
    network: FrozenNetwork, make_artifact: MakeArtifact, tags: Any
) -> None:
    reader, artifact = LayoutReader(network), make_artifact(network)
    read(reader, tagged(artifact, ["a"]).content)
    with pytest.raises(StoreError):
        read(reader, rewritten(tagged(artifact, ["a"]), {"tags": tags}))


def test_numbered_classes_are_named_by_their_numbers() -> None:
    assert class_names("3") == ("0", "1", "2")
    assert class_names('["a", "ü"]') == ("a", "ü")


def rewritten(artifact: TaskArtifact, change: dict[str, Any]) -> bytes:
    """The artifact's bytes with another record, as no trainer writes them."""
    end = 8 + int.from_bytes(artifact.content[:8], "little")
    header = json.loads(artifact.content[8:end])
    record = json.loads(header["__metadata__"][METADATA_KEY].translate(SWAPPED_QUOTES)) | change
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    header["__metadata__"][METADATA_KEY] = text.translate(SWAPPED_QUOTES)
    data = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    data += b" " * (-len(data) % 8)
    return len(data).to_bytes(8, "little") + data + artifact.content[end:]


@pytest.mark.parametrize(
    "change",
    [
        {"classes": 6},
        {"classes": 0},
        {"classes": -1},
        {"classes": True},
        {"classes": []},
        {"classes": [1, 2]},
        {"classes": [""]},
        {"classes": ["x" * 257]},
        {"classes": list("abcdef")},
        {"classes": None},
        {"made_for": ""},
        {"made_for": "0" * 16},
        {"version": 3},
        {"other": 1},
    ],
    ids=str,
)
def test_form_that_is_known_excuses_no_other_record(
    network: FrozenNetwork, make_artifact: MakeArtifact, change: dict[str, Any]
) -> None:
    reader, good = LayoutReader(network), make_artifact(network)
    read(reader, good.content)
    with pytest.raises(StoreError):
        read(reader, rewritten(good, change))
    assert read(reader, rewritten(good, {})).content == good.content


def test_bytes_that_the_parser_refuses_are_refused(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    reader, content = LayoutReader(network), make_artifact(network).content
    read(reader, content)
    for data in (b"", content[:4], content[:100], content[:-1], content + b"\x00", b"\xff" * 99):
        with pytest.raises(StoreError) as refusal:
            read(reader, data)
        with pytest.raises(StoreError) as by_parser:
            check_artifact(network, parse_artifact(data))
        assert str(refusal.value) == str(by_parser.value)
