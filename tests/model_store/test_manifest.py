import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from model_store.errors import CorruptStore
from model_store.manifest import BankRecord, Manifest
from model_store.network import FrozenNetwork


def test_manifest_read_back_is_the_manifest_written(each_network: FrozenNetwork) -> None:
    data = each_network.manifest.to_bytes()
    assert Manifest.from_bytes(data, "manifest.json") == each_network.manifest
    assert Manifest.from_bytes(data, "manifest.json").to_bytes() == data


def _later_version(manifest: dict[str, Any]) -> None:
    manifest["version"] = 4


def _no_seed(manifest: dict[str, Any]) -> None:
    del manifest["backbone"]["seed"]


def _unknown_field(manifest: dict[str, Any]) -> None:
    manifest["backbone"]["dropout"] = 0.5


def _learned_with_seed(manifest: dict[str, Any]) -> None:
    manifest["bank"]["kind"] = "homogeneous"


def _infinite_deviation(manifest: dict[str, Any]) -> None:
    manifest["preprocessing"]["std"] = float("inf")


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (_later_version, "version"),
        (_no_seed, r"backbone\.seed"),
        (_unknown_field, r"backbone\.dropout"),
        (_learned_with_seed, "bank"),
        (_infinite_deviation, r"preprocessing\.std"),
    ],
)
def test_bad_field_is_named_with_its_file(
    network: FrozenNetwork, damage: Callable[[dict[str, Any]], None], where: str
) -> None:
    manifest = json.loads(network.manifest.to_bytes())
    damage(manifest)
    with pytest.raises(CorruptStore, match=rf"^here/manifest\.json: {where}: "):
        Manifest.from_bytes(json.dumps(manifest).encode(), "here/manifest.json")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"version": ' + b"9" * 5000 + b"}"],
    ids=["empty", "cut", "list", "null", "not-utf8", "deep", "long-number"],
)
def test_what_is_no_manifest_is_corrupt_and_named(data: bytes) -> None:
    with pytest.raises(CorruptStore, match=r"^manifest\.json: "):
        Manifest.from_bytes(data, "manifest.json")


def test_a_mixed_bank_and_no_other_says_how_many_masks_were_learned(
    networks: dict[str, FrozenNetwork],
) -> None:
    for kind, learned in (("mixed", None), ("heterogeneous", 3)):
        record = networks[kind].manifest.bank.model_dump()
        with pytest.raises(ValidationError, match="says how much was learned"):
            BankRecord.model_validate(record | {"learned": learned})


def test_partition_without_a_seed_cannot_be_described(network: FrozenNetwork) -> None:
    record = network.manifest.bank.model_dump()
    with pytest.raises(ValidationError, match="a random or partition bank has a seed"):
        BankRecord.model_validate(record | {"seed": None})
