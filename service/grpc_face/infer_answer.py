"""A prediction as a `ModelInferResponse`, its tensors as raw contents, as clients expect them."""

from typing import Any

from service.engine.prediction import Prediction
from service.grpc_face.messages import MESSAGES
from service.open_inference.outputs import answer_parameters, octets, output_tensor
from service.open_inference.tensors import InferCall

_Response = MESSAGES["ModelInferResponse"]


def infer_answer(model_name: str, call: InferCall, prediction: Prediction) -> Any:
    """The outputs asked for, in that order; none where the service abstained."""
    answer = _Response(model_name=model_name, id=call.request_id or "")
    for name, value in answer_parameters(prediction).items():
        parameter = answer.parameters[name]
        if isinstance(value, bool):
            parameter.bool_param = value
        elif isinstance(value, int):
            parameter.int64_param = value
        elif isinstance(value, str):
            parameter.string_param = value
        else:
            parameter.double_param = value
    if prediction.task is not None:
        answer.model_version = prediction.task.version
        for wanted in call.outputs:
            datatype, shape, values = output_tensor(prediction, wanted)
            answer.outputs.add(name=wanted.name, datatype=datatype, shape=shape)
            answer.raw_output_contents.append(octets(values))
    return answer
