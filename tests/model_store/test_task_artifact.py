import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.quantisation import from_levels, straight_through_four_bits
from model_store.errors import InvalidArtifact, InvalidTaskName
from model_store.network import FrozenNetwork
from model_store.packing import unpack_levels
from model_store.task_artifact import (
    TaskArtifact,
    checked_task_name,
    parse_artifact,
    quantised,
)

REPRODUCE = """
import sys
from model_store.task_artifact import TaskArtifact, parse_artifact
parsed = parse_artifact(sys.stdin.buffer.read())
shuffled = dict(sorted(parsed.tensors.items(), key=lambda item: hash(item[0])))
sys.stdout.buffer.write(TaskArtifact(parsed.record, shuffled).content)
"""


def test_parsed_artifact_is_the_one_serialised(each_artifact: TaskArtifact) -> None:
    parsed = parse_artifact(each_artifact.content)
    assert parsed.record == each_artifact.record
    assert parsed.kind == each_artifact.kind
    assert parsed.content == each_artifact.content
    assert parsed.content_hash == hashlib.sha256(each_artifact.content).hexdigest()
    assert set(parsed.tensors) == set(each_artifact.tensors)
    for name, tensor in each_artifact.tensors.items():
        assert parsed.tensors[name].dtype == tensor.dtype
        assert torch.equal(parsed.tensors[name], tensor)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_makes_the_same_bytes(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact], hash_seed: str
) -> None:
    content = make_artifact(network, "supermask").content
    made = subprocess.run(
        [sys.executable, "-c", REPRODUCE],
        input=content,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )
    assert made.stdout == content


def test_bytes_of_an_artifact_are_pinned(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact]
) -> None:
    plain = {
        "weights": "0" * 16,
        "preprocessing": "1" * 16,
        "bank": "2" * 16,
    }
    artifact = make_artifact(network, "int8", made_for=plain)
    tensors = {
        "coefficients": torch.arange(6, dtype=torch.int8).reshape(3, 2),
        "scales": torch.ones(3),
    }
    assert TaskArtifact(artifact.record, tensors).content_hash == (
        "05ab04faff45bbf99bd74dd673d178229f46e1291bdb757476337db5b725180c"
    )


def test_how_tensors_lie_in_memory_does_not_show_in_the_bytes(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact]
) -> None:
    artifact = make_artifact(network)
    strided = {name: one.t().contiguous().t() for name, one in artifact.tensors.items()}
    assert TaskArtifact(artifact.record, strided).content == artifact.content


def test_only_coefficients_have_coefficients(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact]
) -> None:
    with pytest.raises(InvalidArtifact, match="no coefficients"):
        _ = make_artifact(network, "supermask").coefficients


def test_tensor_bytes_are_those_of_the_form(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact]
) -> None:
    forms = ("fp16", "int8", "int4")
    sizes = {form: make_artifact(network, form).tensor_bytes for form in forms}
    assert sizes == {"fp16": 3 * 10 * 2, "int8": 3 * 10 + 3 * 4, "int4": 3 * 5 + 3 * 4}
    layers = [300 * 9, 100 * 300, 5 * 100]
    packed = sum(-(-weights // 8) for weights in layers)
    assert make_artifact(network, "supermask").tensor_bytes == packed
    kept = sum(round(0.01 * weights) for weights in layers)
    assert make_artifact(network, "sparse").tensor_bytes == 4 * kept


COEFFICIENTS = st.lists(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4), min_size=1, max_size=3
).map(torch.tensor)


@given(COEFFICIENTS)
def test_int8_is_off_by_at_most_half_a_step(coefficients: torch.Tensor) -> None:
    tensors = quantised(coefficients, "int8")
    assert tensors["coefficients"].dtype == torch.int8
    restored = tensors["coefficients"].double() * tensors["scales"].double().unsqueeze(1)
    step = coefficients.abs().amax(dim=1, keepdim=True).double() / 127
    tolerance = 0.5001 * step + 1e-37
    assert bool(((restored - coefficients.double()).abs() <= tolerance).all())


@given(COEFFICIENTS)
def test_fp16_is_the_nearest_half(coefficients: torch.Tensor) -> None:
    assert torch.equal(quantised(coefficients, "fp16")["coefficients"], coefficients.half())


def test_zero_coefficients_stay_zero_in_int8() -> None:
    tensors = quantised(torch.zeros(2, 3), "int8")
    assert not tensors["coefficients"].any()
    assert bool((tensors["scales"] > 0).all())


@given(COEFFICIENTS)
def test_int4_keeps_what_was_learned_through_the_rounding(coefficients: torch.Tensor) -> None:
    tensors = quantised(coefficients, "int4")
    restored = from_levels(unpack_levels(tensors["coefficients"]), tensors["scales"])
    assert torch.equal(restored, straight_through_four_bits(coefficients))


def test_int4_wants_pairs() -> None:
    with pytest.raises(ValueError, match="come in pairs, got 3"):
        quantised(torch.ones(2, 3), "int4")


@pytest.mark.parametrize("name", ["a", "7", "task-1", "A.b_c-d", "x" * 128, "a..b", "Auto"])
def test_task_name_within_the_alphabet_is_accepted(name: str) -> None:
    assert checked_task_name(name) == name


BAD_NAMES = [
    "",
    "auto",
    ".",
    "..",
    ".hidden",
    ".tmp-1",
    "-x",
    "_x",
    "x" * 129,
    "../escape",
    "a/b",
    "/etc",
    "a\\b",
    "a b",
    "a\n",
    "\na",
    "a\x00",
    "tâche",
    "\u0661",
    "\uff41",
    "a%2fb",
    "\ud800",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_task_name_outside_the_alphabet_is_refused(name: str) -> None:
    with pytest.raises(InvalidTaskName):
        checked_task_name(name)


@given(st.text(max_size=140))
def test_no_accepted_name_can_leave_its_folder(name: str) -> None:
    try:
        checked_task_name(name)
    except InvalidTaskName:
        return
    assert Path("tasks", name).parts == ("tasks", name)
    assert name not in (".", "..")
