import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact, parse_artifact

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
        "coefficients": torch.arange(6, dtype=torch.int8),
        "scales": torch.ones(3, dtype=torch.float16),
    }
    assert TaskArtifact(artifact.record, tensors).content_hash == (
        "cc2a2b11f23d9e4dc77c7258ca1275683a47336c2fc5bdeca33b9b092b5b191d"
    )


def test_how_tensors_lie_in_memory_does_not_show_in_the_bytes(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact]
) -> None:
    artifact = make_artifact(network)
    strided = {name: torch.stack([one, one], 1)[:, 0] for name, one in artifact.tensors.items()}
    assert TaskArtifact(artifact.record, strided).content == artifact.content


def test_tensor_bytes_are_those_of_the_form(
    network: FrozenNetwork, make_artifact: Callable[..., TaskArtifact]
) -> None:
    forms = ("fp16", "int8", "int4")
    sizes = {form: make_artifact(network, form).tensor_bytes for form in forms}
    assert sizes == {"fp16": 3 * 10 * 2, "int8": 3 * 10 + 3 * 2, "int4": 3 * 5 + 3 * 2}
    layers = [300 * 9, 100 * 300, 5 * 100]
    packed = sum(-(-weights // 8) for weights in layers)
    assert make_artifact(network, "supermask").tensor_bytes == packed
    assert make_artifact(network, "hybrid").tensor_bytes == 2 * 10 + 2 * 2 + 63
    kept = sum(round(0.01 * weights) for weights in layers)
    assert make_artifact(network, "sparse").tensor_bytes == 4 * kept
