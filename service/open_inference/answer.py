"""A prediction as an answer of the Open Inference Protocol, each output in JSON or as raw bytes."""

from typing import Any

import orjson

from service.connections.raw_calls import HEADER_LENGTH, OCTETS, RawAnswer
from service.engine.prediction import Prediction
from service.open_inference.outputs import answer_parameters, octets, output_tensor
from service.open_inference.tensors import InferCall

_JSON = ((b"content-type", b"application/json"),)


def infer_answer(model_name: str, call: InferCall, prediction: Prediction) -> RawAnswer:
    """The outputs asked for, in that order; none where the service abstained.

    Where one is binary the body is JSON and then the tensors, and a header says where they begin.
    """
    document: dict[str, Any] = {"model_name": model_name, "outputs": []}
    if call.request_id is not None:
        document["id"] = call.request_id
    tensors: list[bytes] = []
    if prediction.task is not None:
        document["model_version"] = prediction.task.version
        for wanted in call.outputs:
            datatype, shape, values = output_tensor(prediction, wanted)
            if wanted.binary:
                tensors.append(octets(values))
                output = _binary_output(wanted.name, datatype, shape, len(tensors[-1]))
            else:
                output = {"name": wanted.name, "shape": shape, "datatype": datatype}
                output["data"] = values if isinstance(values, list) else values.ravel()
            document["outputs"].append(output)
    if prediction.identification is not None:
        document["parameters"] = answer_parameters(prediction)
    encoded = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tensors:
        return RawAnswer(encoded, _JSON)
    headers = ((b"content-type", OCTETS), (HEADER_LENGTH, b"%d" % len(encoded)))
    return RawAnswer(b"".join((encoded, *tensors)), headers)


def _binary_output(name: str, datatype: str, shape: Any, size: int) -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": parameters}
