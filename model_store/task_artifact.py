"""One task's artifact: everything that a task adds, as safetensors bytes named by their hash.

Parses bytes from strangers: no pickle, no paths, every length checked before it is believed.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from masked_network.quantisation import four_bit_scales, from_levels, to_levels
from model_store.errors import CorruptArtifact, InvalidArtifact, InvalidTaskName
from model_store.packing import pack_levels, unpack_levels
from model_store.task_record import TaskRecord
from model_store.tensor_bytes import read_metadata, read_tensors

COEFFICIENTS = "coefficients"
SCALES = "scales"
RESERVED_TASK_NAMES = frozenset({"auto"})

_METADATA_KEY = "impress_task"
_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Precision = Literal["fp16", "int8", "int4"]


def checked_task_name(task_id: str) -> str:
    """The name itself. Raises `InvalidTaskName` on one outside the alphabet, or a reserved one."""
    if task_id in RESERVED_TASK_NAMES:
        raise InvalidTaskName(f"the task name {task_id!r} is reserved")
    if not _TASK_NAME.fullmatch(task_id):
        raise InvalidTaskName(
            "a task name is 1 to 128 letters, digits, '.', '_' or '-', the first a letter or a "
            f"digit; got {task_id[:160]!r}"
        )
    return task_id


@dataclass(frozen=True)
class TaskArtifact:
    """A task: its record, and either quantised coefficients or a dedicated supermask.

    Where the backbone normalises, the task's statistics besides.
    """

    record: TaskRecord
    tensors: Mapping[str, Tensor]

    @property
    def kind(self) -> Literal["coefficients", "supermask"]:
        """Which of the two it holds."""
        return "coefficients" if COEFFICIENTS in self.tensors else "supermask"

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the tensors alone, without the record."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    @property
    def coefficients(self) -> Tensor:
        """`[L, K]` in fp32, dequantised. Raises `InvalidArtifact` on a dedicated supermask."""
        if self.kind != "coefficients":
            raise InvalidArtifact("a dedicated supermask has no coefficients")
        values = self.tensors[COEFFICIENTS]
        if values.dtype == torch.float16:
            return values.to(torch.float32)
        scales = self.tensors[SCALES]
        if values.dtype == torch.uint8:
            return from_levels(unpack_levels(values), scales)
        return values.to(torch.float32) * scales.unsqueeze(1)

    @cached_property
    def content(self) -> bytes:
        """The artifact as safetensors bytes; the same artifact always gives the same bytes."""
        # One metadata key only: safetensors keeps several in no fixed order.
        metadata = {_METADATA_KEY: self.record.to_json()}
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        return safetensors.torch.save(tensors, metadata)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of `content`, in hexadecimal: the artifact's version."""
        return hashlib.sha256(self.content).hexdigest()


def quantised(coefficients: Tensor, precision: Precision) -> dict[str, Tensor]:
    """The tensors that keep coefficients `[L, K]`: fp16, or int8 or int4 with a scale a layer.

    Two coefficients of int4 share a byte. Raises `ValueError` on int4 with an odd K.
    """
    if precision == "fp16":
        return {COEFFICIENTS: coefficients.to(torch.float16)}
    if precision == "int4":
        scales = four_bit_scales(coefficients)
        return {COEFFICIENTS: pack_levels(to_levels(coefficients, scales)), SCALES: scales}
    scales = (coefficients.abs().amax(dim=1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
    return {
        COEFFICIENTS: (coefficients / scales.unsqueeze(1)).round().to(torch.int8),
        SCALES: scales.to(torch.float32),
    }


def parse_artifact(data: bytes) -> TaskArtifact:
    """An artifact from bytes. Raises `CorruptArtifact`; values and shapes are not judged here."""
    try:
        tensors = read_tensors(data)
        metadata = read_metadata(data)
    except ValueError as error:
        raise CorruptArtifact(str(error)) from error
    if set(metadata) != {_METADATA_KEY}:
        found = ", ".join(sorted(metadata)) or "none"
        raise CorruptArtifact(f"expected the metadata {_METADATA_KEY!r} alone, got {found}"[:500])
    try:
        record = TaskRecord.model_validate_json(metadata[_METADATA_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or _METADATA_KEY
        raise CorruptArtifact(f"the artifact's record: {where}: {first['msg']}") from error
    artifact = TaskArtifact(record, tensors)
    if artifact.content != data:
        raise CorruptArtifact("the bytes are not in the canonical form that the trainer writes")
    return artifact
