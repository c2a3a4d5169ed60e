"""A prediction as an answer of the Open Inference Protocol, each output in JSON or as raw bytes."""

from typing import Any

import orjson

from service.engine.predictor import Prediction
from service.infer_outputs import answer_parameters, octets, output_tensor
from service.infer_tensors import InferCall
from service.raw_calls import HEADER_LENGTH, OCTETS, RawAnswer

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
            output: dict[str, Any] = {"name": wanted.name, "shape": shape, "datatype": datatype}
            if wanted.binary:
                content = octets(values)
                output["parameters"] = {"binary_data_size": len(content)}
                tensors.append(content)
            else:
                output["data"] = values if isinstance(values, list) else values.ravel()
            document["outputs"].append(output)
    if prediction.identification is not None:
        document["parameters"] = answer_parameters(prediction)
    encoded = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tensors:
        return RawAnswer(encoded, _JSON)
    headers = ((b"content-type", OCTETS), (HEADER_LENGTH, b"%d" % len(encoded)))
    return RawAnswer(b"".join((encoded, *tensors)), headers)
