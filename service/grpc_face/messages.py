"""The protocol's messages as classes. On the wire are numbers and types, none of these names.

Described here rather than generated, in a pool of their own: generated code wants the very protobuf
that it was generated for, and knows no second description of a message in its process, such as
tritonclient's.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
_FILE = "open_inference.proto"

_BOOL = FieldDescriptorProto.TYPE_BOOL
_BYTES = FieldDescriptorProto.TYPE_BYTES
_DOUBLE = FieldDescriptorProto.TYPE_DOUBLE
_FLOAT = FieldDescriptorProto.TYPE_FLOAT
_INT32 = FieldDescriptorProto.TYPE_INT32
_INT64 = FieldDescriptorProto.TYPE_INT64
_STRING = FieldDescriptorProto.TYPE_STRING
_UINT32 = FieldDescriptorProto.TYPE_UINT32
_UINT64 = FieldDescriptorProto.TYPE_UINT64


@dataclass(frozen=True)
class _Field:
    number: int
    name: str
    kind: Any
    """A number of protobuf's, or the name of a message."""
    repeated: bool = False
    by_name: bool = False
    """A map from texts."""


def _many(number: int, name: str, kind: Any) -> _Field:
    return _Field(number, name, kind, repeated=True)


def _map(number: int, name: str, kind: str) -> _Field:
    return _Field(number, name, kind, by_name=True)


_NAME_AND_VERSION = (_Field(1, "name", _STRING), _Field(2, "version", _STRING))
_LOAD = (
    _Field(1, "repository_name", _STRING),
    _Field(2, "model_name", _STRING),
    _map(3, "parameters", "ModelRepositoryParameter"),
)

_ONE_OF: dict[str, tuple[_Field, ...]] = {
    "InferParameter": (
        _Field(1, "bool_param", _BOOL),
        _Field(2, "int64_param", _INT64),
        _Field(3, "string_param", _STRING),
        _Field(4, "double_param", _DOUBLE),
        _Field(5, "uint64_param", _UINT64),
    ),
    "ModelRepositoryParameter": (
        _Field(1, "bool_param", _BOOL),
        _Field(2, "int64_param", _INT64),
        _Field(3, "string_param", _STRING),
        _Field(4, "bytes_param", _BYTES),
    ),
}
"""Messages that hold one of their fields."""

_MESSAGES: dict[str, tuple[_Field, ...]] = _ONE_OF | {
    "ServerLiveRequest": (),
    "ServerLiveResponse": (_Field(1, "live", _BOOL),),
    "ServerReadyRequest": (),
    "ServerReadyResponse": (_Field(1, "ready", _BOOL),),
    "ModelReadyRequest": _NAME_AND_VERSION,
    "ModelReadyResponse": (_Field(1, "ready", _BOOL),),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (*_NAME_AND_VERSION, _many(3, "extensions", _STRING)),
    "ModelMetadataRequest": _NAME_AND_VERSION,
    "ModelMetadataResponse": (
        _Field(1, "name", _STRING),
        _many(2, "versions", _STRING),
        _Field(3, "platform", _STRING),
        _many(4, "inputs", "TensorMetadata"),
        _many(5, "outputs", "TensorMetadata"),
    ),
    "TensorMetadata": (
        _Field(1, "name", _STRING),
        _Field(2, "datatype", _STRING),
        _many(3, "shape", _INT64),
    ),
    "InferTensorContents": (
        _many(1, "bool_contents", _BOOL),
        _many(2, "int_contents", _INT32),
        _many(3, "int64_contents", _INT64),
        _many(4, "uint_contents", _UINT32),
        _many(5, "uint64_contents", _UINT64),
        _many(6, "fp32_contents", _FLOAT),
        _many(7, "fp64_contents", _DOUBLE),
        _many(8, "bytes_contents", _BYTES),
    ),
    "InferTensor": (
        _Field(1, "name", _STRING),
        _Field(2, "datatype", _STRING),
        _many(3, "shape", _INT64),
        _map(4, "parameters", "InferParameter"),
        _Field(5, "contents", "InferTensorContents"),
    ),
    "InferRequestedOutput": (
        _Field(1, "name", _STRING),
        _map(2, "parameters", "InferParameter"),
    ),
    "ModelInferRequest": (
        _Field(1, "model_name", _STRING),
        _Field(2, "model_version", _STRING),
        _Field(3, "id", _STRING),
        _map(4, "parameters", "InferParameter"),
        _many(5, "inputs", "InferTensor"),
        _many(6, "outputs", "InferRequestedOutput"),
        _many(7, "raw_input_contents", _BYTES),
    ),
    "ModelInferResponse": (
        _Field(1, "model_name", _STRING),
        _Field(2, "model_version", _STRING),
        _Field(3, "id", _STRING),
        _map(4, "parameters", "InferParameter"),
        _many(5, "outputs", "InferTensor"),
        _many(6, "raw_output_contents", _BYTES),
    ),
    "RepositoryIndexRequest": (
        _Field(1, "repository_name", _STRING),
        _Field(2, "ready", _BOOL),
    ),
    "RepositoryIndexResponse": (_many(1, "models", "ModelIndex"),),
    "ModelIndex": (
        *_NAME_AND_VERSION,
        _Field(3, "state", _STRING),
        _Field(4, "reason", _STRING),
    ),
    "RepositoryModelLoadRequest": _LOAD,
    "RepositoryModelLoadResponse": (),
    "RepositoryModelUnloadRequest": _LOAD,
    "RepositoryModelUnloadResponse": (),
}


def _described() -> DescriptorPool:
    file = FileDescriptorProto(name=_FILE, package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _ONE_OF:
            message.oneof_decl.add(name="parameter_choice")
        for field in fields:
            described = _add(message, field)
            if name in _ONE_OF:
                described.oneof_index = 0
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add(message: DescriptorProto, field: _Field) -> FieldDescriptorProto:
    many = field.repeated or field.by_name
    described = message.field.add(
        name=field.name,
        number=field.number,
        label=FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL,
    )
    if field.by_name:
        # A map is a list of entries of a type of its own, which protobuf finds by this name.
        entry = message.nested_type.add(name=f"{field.name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, _Field(1, "key", _STRING))
        _add(entry, _Field(2, "value", field.kind))
        described.type_name = f".{PACKAGE}.{message.name}.{entry.name}"
    elif isinstance(field.kind, str):
        described.type_name = f".{PACKAGE}.{field.kind}"
    else:
        described.type = field.kind
        return described
    described.type = FieldDescriptorProto.TYPE_MESSAGE
    return described


_POOL = _described()
MESSAGES: dict[str, Any] = {
    name: GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
}
"""The classes by name."""
