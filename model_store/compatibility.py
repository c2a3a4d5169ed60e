"""Whether an artifact can serve on a store's network: fingerprints, shapes, types, values."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model_store.coefficient_tensors import expected_coefficients
from model_store.errors import IncompatibleBackbone, InvalidArtifact
from model_store.evidence_tensor import EVIDENCE, evidence_of, expected_evidence
from model_store.network import FrozenNetwork
from model_store.statistics_tensor import STATISTICS, expected_statistics
from model_store.supermask_tensors import expected_masks
from model_store.task_artifact import TaskArtifact, TaskKind, TaskValues, kind_of
from model_store.task_record import MadeFor, TaskRecord

_MAX_MULTIPLIER = 1e4
_MAX_MEAN = 1e4
_SHOWN_NAMES = 3

_ShapeAndType = tuple[tuple[int | None, ...], torch.dtype]
"""None is any length."""


def check_artifact(network: FrozenNetwork, artifact: TaskArtifact) -> None:
    """Raise `IncompatibleBackbone` or `InvalidArtifact` where the artifact cannot serve here."""
    for problem in problems(network, artifact.record, artifact.tensors):
        raise problem


def problems(
    network: FrozenNetwork, record: TaskRecord | None, tensors: Mapping[str, Tensor]
) -> Iterator[IncompatibleBackbone | InvalidArtifact]:
    """All that keeps an artifact from serving here, or its tensors, where its record is unknown.

    Values are judged where every tensor has the shape and type that it should have.
    """
    task = _Values(kind_of(tensors), tensors)
    if record is not None:
        yield from _wrong_record(network, record, task)
    wrong = [*_wrong_tensors(tensors, _expected_tensors(network, task))]
    yield from wrong
    if not wrong:
        if task.kind != "supermask":
            yield from _wrong_coefficients(network, task)
        yield from _wrong_supermask(network, task)
        yield from _wrong_statistics(network, task)
        yield from _wrong_evidence(network, task)


@dataclass(frozen=True)
class _Values:
    kind: TaskKind
    tensors: Mapping[str, Tensor]


def _wrong_record(
    network: FrozenNetwork, record: TaskRecord, task: TaskValues
) -> Iterator[IncompatibleBackbone | InvalidArtifact]:
    made_for = record.made_for
    here = MadeFor.of(network.manifest, uses_bank=True)
    uses_bank = task.kind != "supermask"
    for what, expected, actual in (
        ("weights", here.weights, made_for.weights),
        ("preprocessing", here.preprocessing, made_for.preprocessing),
        ("bank", here.bank if uses_bank else made_for.bank, made_for.bank),
    ):
        if expected != actual:
            yield IncompatibleBackbone(
                f"the artifact was made for another store: expected the {what} fingerprint "
                f"{expected}, got {actual or 'none'}"
            )
    classes, outputs = len(record.classes), network.manifest.backbone.outputs
    if classes > outputs:
        yield InvalidArtifact(f"{classes} classes, but the backbone has {outputs} outputs")
    if not uses_bank and made_for.bank is not None:
        yield InvalidArtifact("a dedicated supermask uses no bank, but its record names one")


def _expected_tensors(network: FrozenNetwork, task: TaskValues) -> dict[str, _ShapeAndType]:
    tensors, kind = task.tensors, task.kind
    expected: dict[str, _ShapeAndType] = {}
    if kind != "supermask":
        expected |= expected_coefficients(tensors, network.used_by(kind))
    expected |= expected_masks(tensors, network.masked_by(kind))
    expected |= expected_evidence(tensors, network.manifest.preprocessing.row_length)
    return expected | expected_statistics(network.statistics)


def _wrong_coefficients(network: FrozenNetwork, task: TaskValues) -> Iterator[InvalidArtifact]:
    try:
        values = network.coefficients(task)
    except ValueError as error:
        yield InvalidArtifact(f"coefficients: {error}")
        return
    largest = float(values.abs().max())
    if not math.isfinite(largest):
        yield InvalidArtifact("coefficients must be finite, got NaN or infinity")
    elif largest > _MAX_MULTIPLIER:
        yield InvalidArtifact(f"coefficients must lie within ±{_MAX_MULTIPLIER:g}")


def _wrong_supermask(network: FrozenNetwork, task: TaskValues) -> Iterator[InvalidArtifact]:
    try:
        network.supermask(task)
    except ValueError as error:
        yield InvalidArtifact(f"supermask: {error}")


def _wrong_statistics(network: FrozenNetwork, task: TaskValues) -> Iterator[InvalidArtifact]:
    if not network.statistics or _may_be_statistics(*task.tensors[STATISTICS].to(torch.float32)):
        return
    values = network.task_statistics(task)
    for layer in network.statistics:
        mean, variance = values[layer.mean], values[layer.variance]
        if not _may_be_means(mean):
            yield InvalidArtifact(f"{layer.mean}: means must be finite and within ±{_MAX_MEAN:g}")
        if not _may_be_variances(variance):
            yield InvalidArtifact(f"{layer.variance}: variances must be finite and above 0")


def _may_be_statistics(means: Tensor, variances: Tensor) -> bool:
    return _may_be_means(means) and _may_be_variances(variances)


def _may_be_means(values: Tensor) -> bool:
    return bool((values.abs() <= _MAX_MEAN).all())  # no NaN is


def _may_be_variances(values: Tensor) -> bool:
    return bool(((values > 0) & (values < torch.inf)).all())


def _wrong_evidence(network: FrozenNetwork, task: TaskValues) -> Iterator[InvalidArtifact]:
    if EVIDENCE in task.tensors:
        packed = task.tensors[EVIDENCE].unsqueeze(0)
        try:
            evidence_of(packed, network.manifest.preprocessing.row_length)
        except ValueError as error:
            yield InvalidArtifact(f"{EVIDENCE}: {error}")


def _wrong_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, _ShapeAndType]
) -> Iterator[InvalidArtifact]:
    if set(tensors) != set(expected):
        missing, extra = set(expected) - set(tensors), set(tensors) - set(expected)
        yield InvalidArtifact(
            f"tensors that are missing: {_few(missing)}; not expected: {_few(extra)}"[:500]
        )
    for name, (shape, dtype) in expected.items():
        actual = tensors.get(name)
        if actual is None:
            continue
        lengths = tuple(actual.shape)
        fits = len(lengths) == len(shape) and all(
            wanted in (None, length) for wanted, length in zip(shape, lengths, strict=True)
        )
        if not fits or actual.dtype != dtype:
            wanted = ["any" if length is None else length for length in shape]
            yield InvalidArtifact(
                f"{name}: expected {dtype} {wanted}, got {actual.dtype} {list(lengths)}"[:500]
            )


def _few(names: set[str]) -> str:
    shown = [repr(name) for name in sorted(names)[:_SHOWN_NAMES]]
    more = [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return ", ".join(shown + more) or "none"
