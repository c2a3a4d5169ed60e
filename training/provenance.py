"""How a task was made, as its artifact's record says it: what is at its default is left out.

The defaults belong to version 1 of the record. Changing one would change what the artifacts that
are published say of themselves.
"""

from collections.abc import Mapping

Provenance = Mapping[str, str | int | float]

LEFT_OUT: Provenance = {
    "stream_seed": 0,
    "kind": "coefficients",
    "precision": "fp16",
    "start": "randn",
    "penalty": 0.0,
    "learning_rate": 0.2,
    "batch_size": 128,
    "exposure": 0.5,
    "seed": 0,
    "optimizer": "adam",
    "schedule": "cosine",
    "patience": 0,
}


def recorded(provenance: Provenance) -> dict[str, str | int | float]:
    """What a record keeps of it."""
    return {key: value for key, value in provenance.items() if LEFT_OUT.get(key) != value}


def restored(kept: Provenance) -> dict[str, str | int | float]:
    """All of it again, of what a record keeps."""
    return {**LEFT_OUT, **kept}
