"""Whether an artifact can serve on a store's network: fingerprints, shapes, types, values."""

from collections.abc import Mapping

import torch
from torch import Tensor

from model_store.coefficient_tensors import expected_coefficients
from model_store.errors import IncompatibleBackbone, InvalidArtifact
from model_store.network import FrozenNetwork
from model_store.statistics_tensor import expected_statistics
from model_store.supermask_tensors import expected_masks
from model_store.task_artifact import TaskArtifact
from model_store.task_record import MadeFor

_MAX_MULTIPLIER = 1e4
_MAX_MEAN = 1e4
_SHOWN_NAMES = 3

_ShapeAndType = tuple[tuple[int | None, ...], torch.dtype]
"""None is any length."""


def check_artifact(network: FrozenNetwork, artifact: TaskArtifact) -> None:
    """Raise `IncompatibleBackbone` or `InvalidArtifact` where the artifact cannot serve here."""
    _check_fingerprints(network, artifact)
    classes = len(artifact.record.classes)
    if classes > network.manifest.backbone.outputs:
        raise InvalidArtifact(
            f"{classes} classes, but the backbone has {network.manifest.backbone.outputs} outputs"
        )
    _check_tensors(artifact.tensors, _expected_tensors(network, artifact))
    if artifact.kind != "supermask":
        _check_coefficients(network, artifact)
    elif artifact.record.made_for.bank is not None:
        raise InvalidArtifact("a dedicated supermask uses no bank, but its record names one")
    _check_supermask(network, artifact)
    _check_statistics(network, artifact)


def _check_fingerprints(network: FrozenNetwork, artifact: TaskArtifact) -> None:
    made_for = artifact.record.made_for
    here = MadeFor.of(network.manifest, uses_bank=True)
    uses_bank = artifact.kind != "supermask"
    for what, expected, actual in (
        ("weights", here.weights, made_for.weights),
        ("preprocessing", here.preprocessing, made_for.preprocessing),
        ("bank", here.bank if uses_bank else made_for.bank, made_for.bank),
    ):
        if expected != actual:
            raise IncompatibleBackbone(
                f"the artifact was made for another store: expected the {what} fingerprint "
                f"{expected}, got {actual or 'none'}"
            )


def _expected_tensors(network: FrozenNetwork, artifact: TaskArtifact) -> dict[str, _ShapeAndType]:
    tensors, kind = artifact.tensors, artifact.kind
    expected: dict[str, _ShapeAndType] = {}
    if kind != "supermask":
        expected |= expected_coefficients(tensors, network.used_by(kind))
    expected |= expected_masks(tensors, network.masked_by(kind))
    return expected | expected_statistics(network.statistics)


def _check_coefficients(network: FrozenNetwork, artifact: TaskArtifact) -> None:
    try:
        values = network.coefficients(artifact)
    except ValueError as error:
        raise InvalidArtifact(f"coefficients: {error}") from error
    if not bool(torch.isfinite(values).all()):
        raise InvalidArtifact("coefficients must be finite, got NaN or infinity")
    if float(values.abs().max()) > _MAX_MULTIPLIER:
        raise InvalidArtifact(f"coefficients must lie within ±{_MAX_MULTIPLIER:g}")


def _check_supermask(network: FrozenNetwork, artifact: TaskArtifact) -> None:
    try:
        network.supermask(artifact)
    except ValueError as error:
        raise InvalidArtifact(f"supermask: {error}") from error


def _check_statistics(network: FrozenNetwork, artifact: TaskArtifact) -> None:
    values = network.task_statistics(artifact)
    for layer in network.statistics:
        mean, variance = values[layer.mean], values[layer.variance]
        if not bool((torch.isfinite(mean) & (mean.abs() <= _MAX_MEAN)).all()):
            raise InvalidArtifact(f"{layer.mean}: means must be finite and within ±{_MAX_MEAN:g}")
        if not bool((torch.isfinite(variance) & (variance > 0)).all()):
            raise InvalidArtifact(f"{layer.variance}: variances must be finite and above 0")


def _check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, _ShapeAndType]) -> None:
    if set(tensors) != set(expected):
        missing, extra = set(expected) - set(tensors), set(tensors) - set(expected)
        raise InvalidArtifact(
            f"tensors that are missing: {_few(missing)}; not expected: {_few(extra)}"[:500]
        )
    for name, (shape, dtype) in expected.items():
        actual = tensors[name]
        lengths = tuple(actual.shape)
        fits = len(lengths) == len(shape) and all(
            wanted in (None, length) for wanted, length in zip(shape, lengths, strict=True)
        )
        if not fits or actual.dtype != dtype:
            wanted = ["any" if length is None else length for length in shape]
            raise InvalidArtifact(
                f"{name}: expected {dtype} {wanted}, got {actual.dtype} {list(lengths)}"[:500]
            )


def _few(names: set[str]) -> str:
    shown = [repr(name) for name in sorted(names)[:_SHOWN_NAMES]]
    more = [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return ", ".join(shown + more) or "none"
