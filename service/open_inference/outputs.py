"""A prediction as the output tensors of the Open Inference Protocol. Knows no transport."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction import Prediction
from service.open_inference.tensors import WantedOutput

_FP32 = np.dtype("<f4")

Values: TypeAlias = "list[str] | NDArray[np.float32]"


class OutputTensor(NamedTuple):
    """FP32 as a contiguous array, or BYTES as texts, row-major."""

    datatype: str
    shape: tuple[int, ...]
    values: Values


def output_tensor(prediction: Prediction, wanted: WantedOutput) -> OutputTensor:
    """One output of a prediction that did not abstain."""
    assert prediction.task is not None
    assert prediction.logits is not None
    if wanted.name == "labels":
        classes = prediction.task.classes
        labels = [classes[index] for index in prediction.logits.argmax(axis=1)]
        return OutputTensor("BYTES", (len(labels),), labels)
    values = prediction.logits if wanted.name == "logits" else prediction.probabilities
    assert values is not None
    if wanted.classes:
        return _best(values, prediction.task.classes, wanted.classes)
    values = np.ascontiguousarray(values, dtype=_FP32)
    return OutputTensor("FP32", values.shape, values)


def octets(values: Values) -> bytes:
    """As the binary tensor extension has them: a text is its length in four bytes, and itself."""
    if not isinstance(values, list):
        return values.tobytes()
    encoded = [label.encode() for label in values]
    return b"".join(part for label in encoded for part in (len(label).to_bytes(4, "little"), label))


def answer_parameters(prediction: Prediction) -> dict[str, str | float | bool]:
    """How the task was inferred; empty where it was named."""
    identification = prediction.identification
    if identification is None:
        return {}
    parameters: dict[str, Any] = {
        "method": identification.method,
        "rows": identification.rows,
        "entropy_nats": identification.best.entropy_nats,
        "margin_nats": identification.margin_nats,
        "confidence": identification.confidence,
        "abstained": prediction.task is None,
    }
    if identification.strangeness is not None:
        parameters["strangeness"] = identification.strangeness
    if prediction.task is not None:
        parameters["task"] = prediction.task.name
    return parameters


def _best(values: NDArray[np.float32], classes: tuple[str, ...], count: int) -> OutputTensor:
    # Triton's classification extension: value:index:label, the best first.
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    said = [
        f"{row[index]:f}:{index}:{classes[index]}"
        for row, indices in zip(values, order, strict=True)
        for index in indices
    ]
    return OutputTensor("BYTES", order.shape, said)
