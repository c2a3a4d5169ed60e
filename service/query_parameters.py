"""Parameters of routes that read them themselves, for the documentation: their `openapi_extra`."""

from typing import Any, get_args

from service.engine.inference.identification import Method
from service.engine.inference.question import LONGEST_SESSION_NAME, MOST_TOP
from service.schemas import TAGS_TEXT
from service.settings import MAX_TIMEOUT_MS

_TIMEOUT: dict[str, Any] = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT_MS},
    "description": "How long the answer may take; what would be late is refused at once.",
}
_RAW_OUTPUT: dict[str, Any] = {
    "name": "output",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": ["probabilities", "logits"], "default": "probabilities"},
    "description": "What a raw answer holds: float32, little-endian, row after row.",
}
_METHOD: dict[str, Any] = {
    "name": "method",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": list(get_args(Method)), "default": "auto"},
    "description": "How to infer the task; JSON says it in the body.",
}
_TOP: dict[str, Any] = {
    "name": "top",
    "in": "query",
    "required": False,
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_TOP},
    "description": "How many of the most probable tasks to answer with; JSON says it in the body.",
}
_TAGS: dict[str, Any] = {
    "name": "tags",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "pattern": TAGS_TEXT},
    "description": "Tags, comma-separated, all of which a task has that may be the answer; JSON "
    "says `candidates` in the body.",
}
_PREFIX: dict[str, Any] = {
    "name": "prefix",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "maxLength": 128},
    "description": "How the names of tasks begin that may be the answer; JSON says `candidates`.",
}
_PER_ROW: dict[str, Any] = {
    "name": "per_row",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "Every row is a question of its own; JSON says it in the body.",
}
_SESSION: dict[str, Any] = {
    "name": "session",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_SESSION_NAME},
    "description": "Whose earlier rows count as well; JSON may say it in the body.",
}
_SESSION_START: dict[str, Any] = {
    "name": "session_start",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "What the session has gathered is forgotten first.",
}
_SESSION_END: dict[str, Any] = {
    "name": "session_end",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "It is forgotten after this answer.",
}
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
