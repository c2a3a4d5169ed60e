"""Examples in the OpenAPI that work on this very service: a task that it has, rows of its length.

Nothing that changes or deletes a task names one: whoever tries such a route out writes the name.
"""

from typing import Any

from service.engine.engine import Engine

_SAFE = ("/v1/tasks/{task}:warm", "/v2/models/{task}/infer")
"""Of what is posted, what changes nothing that others see."""

Document = dict[str, Any]


def add_examples(document: Document, engine: Engine) -> None:
    """Add them to a document that nobody else holds."""
    row_length = engine.network.manifest.preprocessing.row_length
    schemas = document["components"]["schemas"]
    row: Document = {"type": "array", "items": {"type": "number", "minimum": -1e6, "maximum": 1e6}}
    row |= {"minItems": row_length, "maxItems": row_length}
    schemas["PredictRequest"]["properties"]["inputs"]["items"] = row
    snapshot = engine.registry.snapshot()
    if not snapshot:
        return
    task, numbers = snapshot[0], [0.5] * row_length
    tensor = {"name": "inputs", "shape": [1, row_length], "datatype": "FP32", "data": numbers}
    schemas["PredictRequest"]["examples"] = [
        {"task": task.task_id, "inputs": [numbers]},
        {
            "inputs": [numbers, numbers],
            "per_row": True,
            "top": 3,
            "candidates": {"prefix": task.task_id[:1]},
        },
    ]
    schemas["InferRequest"]["examples"] = [{"inputs": [tensor]}]
    schemas["AliasTarget"]["examples"] = [{"version": task.version}]
    schemas["CanaryTarget"]["examples"] = [{"version": task.version, "share": 0.1}]
    examples = {"task": task.task_id, "version": task.version}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "get" or path in _SAFE:
                _add(operation, examples)


def _add(operation: Document, examples: dict[str, str]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"] in examples:
            parameter["example"] = examples[parameter["name"]]
