"""A prediction as an answer of the Open Inference Protocol, each output in JSON or as raw bytes."""

from typing import Any

import numpy as np
import orjson

from service.engine.predictor import Prediction
from service.infer_request import InferCall
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
        for name, binary in call.outputs:
            output, values = _output(prediction, name)
            if binary:
                content = _octets(values)
                output["parameters"] = {"binary_data_size": len(content)}
                tensors.append(content)
            else:
                output["data"] = values if isinstance(values, list) else values.ravel()
            document["outputs"].append(output)
    if prediction.identification is not None:
        document["parameters"] = _parameters(prediction)
    encoded = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tensors:
        return RawAnswer(encoded, _JSON)
    headers = ((b"content-type", OCTETS), (HEADER_LENGTH, b"%d" % len(encoded)))
    return RawAnswer(b"".join((encoded, *tensors)), headers)


def _parameters(prediction: Prediction) -> dict[str, str | float | bool]:
    identification = prediction.identification
    assert identification is not None
    parameters: dict[str, str | float | bool] = {
        "method": identification.method,
        "entropy_nats": identification.best.entropy_nats,
        "margin_nats": identification.margin_nats,
        "abstained": prediction.task is None,
    }
    if prediction.task is not None:
        parameters["task"] = prediction.task.task_id
    return parameters


def _output(
    prediction: Prediction, name: str
) -> tuple[dict[str, Any], "list[str] | np.ndarray[Any, np.dtype[np.float32]]"]:
    assert prediction.task is not None
    assert prediction.logits is not None
    if name == "labels":
        best = prediction.logits.argmax(axis=1)
        labels = [prediction.task.classes[index] for index in best]
        return {"name": name, "shape": [len(labels)], "datatype": "BYTES"}, labels
    values = prediction.logits if name == "logits" else prediction.probabilities
    assert values is not None
    values = np.ascontiguousarray(values, dtype="<f4")
    return {"name": name, "shape": list(values.shape), "datatype": "FP32"}, values


def _octets(values: "list[str] | np.ndarray[Any, np.dtype[np.float32]]") -> bytes:
    if not isinstance(values, list):
        return values.tobytes()
    encoded = [label.encode() for label in values]
    return b"".join(part for label in encoded for part in (len(label).to_bytes(4, "little"), label))
