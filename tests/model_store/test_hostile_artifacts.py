"""Bytes from strangers: whatever they are, a whole artifact or `CorruptArtifact`, nothing else."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.compatibility import check_artifact
from model_store.errors import CorruptArtifact, IncompatibleBackbone, InvalidArtifact
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact, parse_artifact
from model_store.task_record import SWAPPED_QUOTES

KEY = "impress_task"


def framed(header: object, body: bytes = b"") -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data + body


def parts(artifact: TaskArtifact) -> tuple[dict[str, Any], bytes]:
    """Header and body of a valid artifact."""
    (length,) = struct.unpack_from("<Q", artifact.content)
    header: dict[str, Any] = json.loads(artifact.content[8 : 8 + length])
    return header, artifact.content[8 + length :]


def tensor(shape: list[int], start: int, end: int, dtype: str = "U8", **more: object) -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end], **more}


BYTES = [
    b"",
    b"\x00" * 7,
    b"\x00" * 8,
    b"\xff" * 8,
    b"\x80\x02K\x01.",
    struct.pack("<Q", 2**63) + b"{}",
    struct.pack("<Q", 2**63 - 9) + b"{}",
    struct.pack("<Q", 99_000_000) + b"{}",
    struct.pack("<Q", 1) + b"{}",
    framed(b"{}"),
    framed(b"[]"),
    framed(b"null"),
    framed(b'"x"'),
    framed(b"\xff\xfe{}"),
    framed(b'{"\xff": 1}'),
    framed("{}".encode("utf-16")),
    framed(b'\xef\xbb\xbf{"__metadata__": {}}'),
    framed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    framed(b'{"__metadata__":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001),
    framed(b'{"a": 1' + b"0" * 5000 + b"}"),
    framed({"__metadata__": None}),
    framed({"__metadata__": {KEY: 1}}),
    framed({"__metadata__": {KEY: "["}}),
    framed({"__metadata__": {KEY: "[" * 100_000}}),
    framed({"__metadata__": {KEY: '{"version": ' + "9" * 5000 + "}"}}),
    framed({"__metadata__": {KEY: "{}", "other": "x" * 10_000}}),
    framed({"a": tensor([2**63], 0, 8)}, b"x" * 8),
    framed({"a": tensor([2**62, 4], 0, 0)}),
    framed({"a": tensor([0, 2**64 - 1], 0, 0)}),
    framed({"a": tensor([0, 2**62, 2**62], 0, 0)}),
    framed({"a": tensor([2**64], 0, 0)}),
    framed({"a": tensor([-1], 0, 1)}, b"x"),
    framed({"a": tensor([1] * 100_000, 0, 1)}, b"x"),
    framed({"a": tensor([1], 0, 1, "F4")}, b"x"),
    framed({"a": tensor([2], 0, 1, "F4")}, b"x"),
    framed({"a": tensor([1], 0, 1, "F8_E8M0")}, b"x"),
    framed({"a": tensor([1], 0, 1, "O")}, b"x"),
    framed({"a": tensor([1], 0, 1, comment=10**400)}, b"x"),
    framed(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":' + b"9" * 300 + b"}}", b"x"),
    framed({"a": tensor([2], 0, 2), "b": tensor([2], 1, 3)}, b"xxx"),
    framed({"a": tensor([2], 0, 2), "b": tensor([2], 0, 2)}, b"xx"),
    framed({"a": tensor([2], 1, 3)}, b"xxx"),
    framed({"a": tensor([2], 2, 0)}, b"xx"),
    framed({"a": tensor([2], 0, 2)}, b"x"),
    framed({"a": tensor([2], 0, 2)}, b"xxx"),
    framed({"a": tensor([2], 2**64 - 2, 2**64 - 1)}, b"xx"),
    framed({"a": tensor([2], 2**70, 2**70 + 2)}, b"xx"),
    framed({str(key): tensor([1], key, key + 1) for key in range(20_000)}, b"x" * 20_000),
]


@pytest.mark.parametrize("data", BYTES, ids=[f"case-{index}" for index in range(len(BYTES))])
def test_crafted_bytes_are_corrupt_and_said_so_in_few_words(data: bytes) -> None:
    with pytest.raises(CorruptArtifact) as refusal:
        parse_artifact(data)
    assert len(str(refusal.value)) < 600


def _extra_metadata(header: dict[str, Any]) -> None:
    header["__metadata__"]["format"] = "pt"


def _renamed_metadata(header: dict[str, Any]) -> None:
    header["__metadata__"] = {"format": "pt"}


def said(header: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(header["__metadata__"][KEY].translate(SWAPPED_QUOTES))
    return record


def say(header: dict[str, Any], record: str) -> None:
    header["__metadata__"][KEY] = record.translate(SWAPPED_QUOTES)


def _no_metadata(header: dict[str, Any]) -> None:
    del header["__metadata__"]


def _unknown_tensor_field(header: dict[str, Any]) -> None:
    header["coefficients"]["comment"] = "x"


def _unordered_record(header: dict[str, Any]) -> None:
    record = said(header)
    say(header, json.dumps(dict(reversed(record.items()))))


def _unknown_record_field(header: dict[str, Any]) -> None:
    record = said(header)
    say(header, compact(record | {"x": 1}))


def _not_a_number(header: dict[str, Any]) -> None:
    record = said(header)
    record["provenance"] = {"rate": float("nan")}
    say(header, compact(record))


def _number_beyond_int64(header: dict[str, Any]) -> None:
    record = said(header)
    record["provenance"] = {"seed": 2**63}
    say(header, compact(record))


def _lone_surrogate(header: dict[str, Any]) -> None:
    record = said(header)
    record["classes"] = ["\ud800"]
    say(header, json.dumps(record, sort_keys=True, separators=(",", ":")))


def _spaces_in_the_record(header: dict[str, Any]) -> None:
    record = said(header)
    say(header, json.dumps(record, sort_keys=True, ensure_ascii=False))


def _names_where_a_number_would_do(header: dict[str, Any]) -> None:
    record = said(header)
    say(header, compact(record | {"classes": ["0", "1"]}))


def _truth_for_a_number(header: dict[str, Any]) -> None:
    record = said(header)
    say(header, compact(record | {"classes": True}))


def _default_that_is_said(header: dict[str, Any]) -> None:
    record = said(header)
    say(header, compact(record | {"held_out": None}))


def _no_version(header: dict[str, Any]) -> None:
    record = said(header)
    del record["version"]
    say(header, compact(record))


def compact(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    "change",
    [
        _extra_metadata,
        _renamed_metadata,
        _no_metadata,
        _unknown_tensor_field,
        _unordered_record,
        _unknown_record_field,
        _not_a_number,
        _number_beyond_int64,
        _lone_surrogate,
        _spaces_in_the_record,
        _names_where_a_number_would_do,
        _truth_for_a_number,
        _default_that_is_said,
        _no_version,
    ],
)
def test_header_with_anything_else_in_it_is_corrupt(
    network_artifact: TaskArtifact, change: Any
) -> None:
    header, body = parts(network_artifact)
    say(header, compact(said(header)))
    assert canonical(header, body) == network_artifact.content
    change(header)
    with pytest.raises(CorruptArtifact):
        parse_artifact(canonical(header, body))


def canonical(header: dict[str, Any], body: bytes) -> bytes:
    """As safetensors writes a header: without spaces, padded to eight bytes."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return framed(text + b" " * (-len(text) % 8), body)


@pytest.fixture(scope="session")
def network_artifact(network: FrozenNetwork, make_artifact: Any) -> TaskArtifact:
    artifact: TaskArtifact = make_artifact(network, "int8")
    return artifact


def test_header_of_another_layout_is_corrupt(network_artifact: TaskArtifact) -> None:
    header, body = parts(network_artifact)
    with pytest.raises(CorruptArtifact, match="canonical"):
        parse_artifact(framed(header, body))


def test_key_given_twice_is_corrupt(network_artifact: TaskArtifact) -> None:
    header, body = parts(network_artifact)
    record = json.dumps(header["__metadata__"][KEY])
    twice = f'{{"__metadata__":{{"{KEY}":{record},"{KEY}":{record}}}'
    for name, entry in list(header.items())[1:] * 2:
        twice += f',"{name}":{json.dumps(entry)}'
    with pytest.raises(CorruptArtifact):
        parse_artifact(framed(twice.encode() + b"}", body))


def parse_and_check(network: FrozenNetwork, data: bytes) -> TaskArtifact | None:
    """The artifact where it can serve; None where it was refused as it should be."""
    try:
        artifact = parse_artifact(data)
        check_artifact(network, artifact)
    except (CorruptArtifact, InvalidArtifact, IncompatibleBackbone):
        return None
    return artifact


@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_corrupt(data: bytes, frame: bool) -> None:
    with pytest.raises(CorruptArtifact):
        parse_artifact(framed(data) if frame else data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
SIZES = st.integers(0, 16) | st.integers(-(2**65), 2**65)
ENTRIES = JSON | st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(
            ["U8", "I8", "F16", "F32", "F4", "C64", "F8_E8M0", "BOOL", "F6_E2M3"]
        ),
        "shape": st.lists(SIZES, max_size=3),
        "data_offsets": st.lists(SIZES, min_size=2, max_size=2),
    }
)
NAMES = st.sampled_from(
    [
        "coefficients",
        "scales",
        "supermask/hidden1.weight",
        "supermask-indices/hidden1.weight",
        "__metadata__",
    ]
)


@given(st.dictionaries(NAMES, ENTRIES, max_size=4), st.binary(max_size=16))
def test_random_headers_are_corrupt(header: dict[str, object], body: bytes) -> None:
    with pytest.raises(CorruptArtifact):
        parse_artifact(framed(header, body))


@given(NAMES, ENTRIES)
def test_valid_header_with_one_entry_replaced_never_serves(
    network: FrozenNetwork, network_artifact: TaskArtifact, name: str, entry: object
) -> None:
    header, body = parts(network_artifact)
    if header.get(name) != entry:
        assert parse_and_check(network, canonical(header | {name: entry}, body)) is None


@given(st.data())
def test_mutated_artifact_is_refused_or_is_another_whole_artifact(
    network: FrozenNetwork, network_artifact: TaskArtifact, data: st.DataObject
) -> None:
    content = bytearray(network_artifact.content)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 8, len(content))))
        content[start:end] = data.draw(st.binary(max_size=8))
    served = parse_and_check(network, bytes(content))
    assert served is None or served.content == bytes(content)
