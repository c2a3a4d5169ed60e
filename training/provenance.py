"""How a task was made, as its artifact says it: without what is at its default, or in the tensors.

The defaults belong to version 1 of the record. Changing one would change what the artifacts that
are published say of themselves.
"""

from collections.abc import Mapping

from model_store.coefficient_tensors import precision_of
from model_store.task_artifact import TaskArtifact

Provenance = Mapping[str, str | int | float]

LEFT_OUT: Provenance = {
    "stream_seed": 0,
    "start": "randn",
    "penalty": 0.0,
    "learning_rate": 0.1,
    "mask_learning_rate": 3e-3,
    "batch_size": 128,
    "exposure": 0.5,
    "seed": 0,
    "optimizer": "adam",
    "schedule": "cosine",
    "patience": 0,
    "most_steps": 0,
    "augmentation": "none",
}

_IN_THE_TENSORS = ("kind", "precision")


def recorded(provenance: Provenance) -> dict[str, str | int | float]:
    """What a record keeps of it."""
    return {
        key: value
        for key, value in provenance.items()
        if key not in _IN_THE_TENSORS and LEFT_OUT.get(key) != value
    }


def restored(artifact: TaskArtifact) -> dict[str, str | int | float]:
    """All of it again, of what an artifact keeps."""
    of_tensors: dict[str, str | int | float] = {"kind": artifact.kind}
    if artifact.kind != "supermask":
        of_tensors["precision"] = precision_of(artifact.tensors)
    return {**LEFT_OUT, **artifact.record.provenance, **of_tensors}
