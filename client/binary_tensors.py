"""The Open Inference Protocol's binary tensors: JSON, then raw little-endian numbers, both ways.

Written out rather than taken from `tritonclient`, whose HTTP client brings gevent. No length is
believed before it is checked against the body's own.
"""

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from client.errors import UnexpectedAnswer
from client.results import Floats

HEADER_LENGTH = "Inference-Header-Content-Length"


def encoded(
    rows: Floats, outputs: Sequence[str], parameters: Mapping[str, str | bool] | None = None
) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers of a request for these outputs, as raw bytes. `rows` is `[n, d]`."""
    tensor = {
        "name": "inputs",
        "shape": list(rows.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": rows.nbytes},
    }
    document: dict[str, Any] = {
        "inputs": [tensor],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs],
    }
    if parameters:
        document["parameters"] = dict(parameters)
    head = json.dumps(document).encode()
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return head + rows.tobytes(), headers


def decoded(
    content: bytes, header_length: str | None
) -> tuple[dict[str, Any], dict[str, "Floats | tuple[str, ...]"]]:
    """The JSON and the tensors by name, FP32 and BYTES. Raises `UnexpectedAnswer`."""
    try:
        end = len(content) if header_length is None else int(header_length)
        document = json.loads(content[:end])
        tensors: dict[str, Floats | tuple[str, ...]] = {}
        for output in document["outputs"]:
            size = output["parameters"]["binary_data_size"]
            part = content[end : end + size]
            if size < 0 or len(part) != size:
                raise ValueError(f"{size} bytes of {output['name']}, got {len(part)}")
            tensors[output["name"]] = _tensor(part, output["datatype"], output["shape"])
            end += size
        if end != len(content):
            raise ValueError(f"{len(content) - end} bytes more than its outputs have")
    except (ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswer(f"expected an answer with binary tensors: {error}") from error
    return document, tensors


def _tensor(part: bytes, datatype: str, shape: Sequence[int]) -> "Floats | tuple[str, ...]":
    if datatype == "FP32":
        return np.frombuffer(part, "<f4").reshape(shape)
    if datatype != "BYTES":
        raise ValueError(f"a tensor of {datatype}")
    texts, at = [], 0
    while at < len(part):
        begin = at + 4
        at = begin + int.from_bytes(part[at:begin], "little")
        if begin > len(part) or at > len(part):
            raise ValueError("a text that ends after its tensor")
        texts.append(part[begin:at].decode())
    if len(texts) != prod(shape):
        raise ValueError(f"{len(texts)} texts for shape {list(shape)}")
    return tuple(texts)
