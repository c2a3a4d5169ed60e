"""Parameters of routes that read them themselves, for the documentation: their `openapi_extra`."""

from typing import Any, get_args

from service.engine.inference.identification import Method
from service.engine.inference.question import LONGEST_SESSION_NAME, MOST_TOP
from service.schemas import TAGS_TEXT
from service.settings import MAX_TIMEOUT_MS


def _in_query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": description,
    }


_TIMEOUT: dict[str, Any] = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT_MS},
    "description": "How long the answer may take; what would be late is refused at once.",
}
_RAW_OUTPUT = _in_query(
    "output",
    {"type": "string", "enum": ["probabilities", "logits"], "default": "probabilities"},
    "What a raw answer holds: float32, little-endian, row after row.",
)
_METHOD = _in_query(
    "method",
    {"type": "string", "enum": list(get_args(Method)), "default": "auto"},
    "How to infer the task; what a JSON body says counts.",
)
_TOP = _in_query(
    "top",
    {"type": "integer", "minimum": 1, "maximum": MOST_TOP},
    "How many of the most probable tasks to answer with; what a JSON body says counts.",
)
_TAGS = _in_query(
    "tags",
    {"type": "string", "pattern": TAGS_TEXT},
    "Tags, comma-separated, all of which a task has that may be the answer; the "
    "`candidates` of a JSON body count.",
)
_PREFIX = _in_query(
    "prefix",
    {"type": "string", "maxLength": 128},
    "How the names of tasks begin that may be the answer; `candidates` of JSON count.",
)
_PER_ROW = _in_query(
    "per_row",
    {"type": "boolean", "default": False},
    "Every row is a question of its own; what a JSON body says counts.",
)
_SESSION = _in_query(
    "session",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_SESSION_NAME},
    "Whose earlier rows count as well; what a JSON body says counts.",
)
_SESSION_START = _in_query(
    "session_start",
    {"type": "boolean", "default": False},
    "What the session has gathered is forgotten first.",
)
_SESSION_END = _in_query(
    "session_end",
    {"type": "boolean", "default": False},
    "It is forgotten after this answer.",
)
_HEADER_LENGTH: dict[str, Any] = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "How many bytes of the body are JSON, where raw tensors follow it.",
}

PREDICT_PARAMETERS: dict[str, Any] = {
    "parameters": [
        _TIMEOUT,
        _RAW_OUTPUT,
        _METHOD,
        _TOP,
        _PER_ROW,
        _TAGS,
        _PREFIX,
        _SESSION,
        _SESSION_START,
        _SESSION_END,
    ]
}
INFER_PARAMETERS: dict[str, Any] = {"parameters": [_TIMEOUT, _HEADER_LENGTH]}
