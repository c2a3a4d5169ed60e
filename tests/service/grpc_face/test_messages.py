from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc import service_pb2

from service.grpc_face.messages import MESSAGES

CALLED = [name for name in MESSAGES if name.endswith(("Request", "Response"))]


def on_the_wire(message: Descriptor) -> dict[int, Any]:
    """What a message is to whoever reads its bytes: each field's number, type and own message."""
    return {field.number: kind_of(field) for field in message.fields}


def kind_of(field: FieldDescriptor) -> Any:
    inner = None if field.message_type is None else on_the_wire(field.message_type)
    of_a_choice = field.containing_oneof is not None
    return field.type, field.is_repeated, of_a_choice, inner


@pytest.mark.parametrize("name", CALLED)
def test_message_has_the_bytes_that_clients_know(name: str) -> None:
    known = service_pb2.DESCRIPTOR.message_types_by_name[name]
    assert on_the_wire(MESSAGES[name].DESCRIPTOR) == on_the_wire(known)


def test_fields_are_called_as_clients_call_them() -> None:
    ours = MESSAGES["ModelInferRequest"].DESCRIPTOR.fields_by_name
    assert set(ours) == set(service_pb2.ModelInferRequest.DESCRIPTOR.fields_by_name)


def test_bytes_of_one_are_read_by_the_other() -> None:
    sent = service_pb2.ModelInferRequest(model_name="task", id="7", raw_input_contents=[b"abcd"])
    sent.inputs.add(name="inputs", datatype="FP32", shape=[1, 1])
    sent.parameters["timeout"].int64_param = 5
    read = MESSAGES["ModelInferRequest"].FromString(sent.SerializeToString())
    assert read.inputs[0].shape == [1, 1]
    assert read.parameters["timeout"].int64_param == 5
    assert read.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)
