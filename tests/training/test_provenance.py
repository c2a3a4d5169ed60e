"""What an artifact keeps of how its task was made."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_store.coefficient_tensors import Precision, quantised
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from model_store.task_record import MadeFor, TaskRecord
from training.provenance import LEFT_OUT, recorded, restored

KEYS = st.sampled_from([*LEFT_OUT, "data", "index", "start_tasks"])
VALUES = st.sampled_from([*LEFT_OUT.values(), "digits", 7])
PRECISIONS: list[Precision] = ["fp16", "int8", "int4", "int2"]


def artifact_of(
    network: FrozenNetwork, provenance: dict[str, str | int | float], precision: Precision
) -> TaskArtifact:
    made_for = MadeFor.of(network.manifest, uses_bank=True)
    record = TaskRecord(classes=("a", "b"), made_for=made_for, provenance=recorded(provenance))
    used = network.bank.used
    return TaskArtifact(record, quantised(torch.ones(used.shape), used, precision))


@given(st.dictionaries(KEYS, VALUES), st.sampled_from(PRECISIONS))
def test_what_is_left_out_comes_back(
    network: FrozenNetwork, provenance: dict[str, str | int | float], precision: Precision
) -> None:
    said = provenance | {"kind": "coefficients", "precision": precision}
    assert restored(artifact_of(network, said, precision)) == {**LEFT_OUT, **said}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_differs_from_its_default_is_kept_unless_the_tensors_say_it(
    network: FrozenNetwork, precision: Precision
) -> None:
    said: dict[str, str | int | float] = {**LEFT_OUT, "kind": "coefficients"}
    said |= {"precision": precision, "data": "digits", "exposure": 0.0}
    kept = artifact_of(network, said, precision).record.provenance
    assert kept == {"data": "digits", "exposure": 0.0}
