"""What an artifact says of itself: every field once, in few bytes, in one form."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model_store.network import FrozenNetwork
from model_store.task_record import SWAPPED_QUOTES, MadeFor, TaskRecord

MADE_FOR = MadeFor(weights="0" * 16, preprocessing="1" * 16, bank="2" * 16)
NUMBERED = tuple("0123456789")


def record_of(**fields: Any) -> TaskRecord:
    given_or_default: dict[str, Any] = {"classes": ("a", "b"), "made_for": MADE_FOR} | fields
    return TaskRecord(**given_or_default)


def said(record: TaskRecord) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.to_text().translate(SWAPPED_QUOTES))
    return found


@given(
    classes=st.lists(
        st.text(min_size=1, max_size=4).filter(str.isprintable), min_size=1, max_size=5, unique=True
    )
    | st.integers(1, 20).map(lambda count: [str(index) for index in range(count)]),
    bank=st.none() | st.just("3" * 16),
    right=st.integers(0, 9),
    provenance=st.dictionaries(
        st.text(max_size=4),
        st.text(max_size=4) | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9),
        max_size=3,
    ),
)
def test_a_record_is_read_as_it_was_written(
    classes: list[str], bank: str | None, right: int, provenance: dict[str, Any]
) -> None:
    record = record_of(
        classes=classes,
        made_for=MADE_FOR.model_copy(update={"bank": bank}),
        held_out=(right, 9),
        provenance=provenance,
    )
    read = TaskRecord.of_text(record.to_text())
    assert read == record
    assert read.to_text() == record.to_text()


@pytest.mark.parametrize("classes", [("a", "a"), ("a\n",), ("\x1b[31m",), ("\u202ea",)])
def test_class_names_that_are_not_told_apart_or_not_seen_are_refused(
    classes: tuple[str, ...],
) -> None:
    with pytest.raises(ValidationError, match="class"):
        record_of(classes=classes)


def test_what_is_at_its_default_is_left_out_but_for_the_version() -> None:
    mask = MADE_FOR.model_copy(update={"bank": None})
    assert said(record_of(made_for=mask)) == {
        "version": 2,
        "classes": ["a", "b"],
        "made_for": f"{'0' * 16} {'1' * 16}",
    }


def test_classes_called_by_their_numbers_are_a_number() -> None:
    assert said(record_of(classes=NUMBERED))["classes"] == 10
    assert said(record_of(classes=("00", "1")))["classes"] == ["00", "1"]


def test_text_takes_no_escape_where_it_lies_in_a_json_string() -> None:
    record = record_of(classes=("it's", 'a "b"'), held_out=(1, 3))
    assert '"' not in record_of(classes=("a", "b")).to_text()
    assert TaskRecord.of_text(record.to_text()) == record


def test_held_out_accuracy_is_the_share_that_is_right() -> None:
    assert record_of(held_out=(1, 3)).held_out_accuracy == 1 / 3
    assert record_of().held_out_accuracy is None


def test_fingerprints_are_the_first_digits_of_the_manifests(network: FrozenNetwork) -> None:
    manifest = network.manifest
    made_for = MadeFor.of(manifest, uses_bank=True)
    assert manifest.backbone.fingerprint.startswith(f"sha256:{made_for.weights}")
    assert manifest.bank.fingerprint.startswith(f"sha256:{made_for.bank}")
    assert manifest.preprocessing.fingerprint().startswith(f"sha256:{made_for.preprocessing}")
    assert MadeFor.of(manifest, uses_bank=False).bank is None


def test_tags_are_each_once_and_in_order_whoever_writes_them() -> None:
    record = record_of(tags=("site:berlin", "a", "site:berlin", "A"))
    assert record.tags == ("A", "a", "site:berlin")
    assert said(record)["tags"] == ["A", "a", "site:berlin"]
    assert TaskRecord.of_text(record.to_text()) == record
    assert "tags" not in said(record_of(tags=()))


@pytest.mark.parametrize(
    "field",
    [
        {"tags": ("",)},
        {"tags": ("a,b",)},
        {"tags": ("a b",)},
        {"tags": (":a",)},
        {"tags": ("x" * 65,)},
        {"tags": ("é",)},
        {"tags": ("a\n",)},
        {"tags": tuple(f"tag-{number}" for number in range(17))},
        {"tags": "a"},
        {"tags": (1,)},
        {"classes": ()},
        {"classes": 0},
        {"classes": -1},
        {"classes": 10**12},
        {"classes": ("",)},
        {"classes": ("x" * 257,)},
        {"made_for": {"weights": "0" * 16}},
        {"made_for": "0" * 16},
        {"made_for": ""},
        {"made_for": " ".join(["0" * 16] * 4)},
        {"made_for": {"weights": "0" * 15, "preprocessing": "0" * 16}},
        {"made_for": {"weights": "sha256:" + "0" * 64, "preprocessing": "0" * 16}},
        {"held_out": (4, 3)},
        {"held_out": (-1, 3)},
        {"held_out": (0, 0)},
        {"held_out": (0.5, 1)},
        {"provenance": {"rate": math.nan}},
        {"provenance": {"rate": math.inf}},
        {"provenance": {str(key): key for key in range(65)}},
    ],
)
def test_a_record_that_cannot_be_served_cannot_be_made(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(field))):
        record_of(**field)
