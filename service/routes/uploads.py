"""A task artifact in a request's body: safetensors bytes, or JSON with the same fields."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import Request

from model_store.artifact_json import parts_of_json
from model_store.task_artifact import ArtifactParts, artifact_parts
from service.errors import MalformedRequest, UnsupportedMedia
from service.schemas import BINARY, ArtifactJson, body_schema, schema_of

SAFETENSORS = "application/vnd.safetensors"
OCTETS = "application/octet-stream"
JSON = "application/json"

_READERS: dict[str, Callable[[bytes], ArtifactParts]] = {
    "": artifact_parts,
    OCTETS: artifact_parts,
    SAFETENSORS: artifact_parts,
    JSON: parts_of_json,
}

_BYTES = BINARY | {"minLength": 1}

ARTIFACT_BODY: dict[str, Any] = body_schema(
    (OCTETS, _BYTES), (SAFETENSORS, _BYTES), (JSON, schema_of(ArtifactJson))
)
"""The `openapi_extra` of a route that takes one."""

ANY_BODY: dict[str, Any] = body_schema((OCTETS, _BYTES), (SAFETENSORS, _BYTES), (JSON, {}))
"""The same of a route that says what is wrong with one, and so takes any."""


async def upload(request: Request) -> Callable[[], ArtifactParts]:
    """What reads the body, which takes a while; the body is here, and within its bound."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    reader = _READERS.get(media)
    if reader is None:
        raise UnsupportedMedia(
            f"expected a task artifact as {OCTETS} (safetensors) or {JSON}, got {media[:80]}; "
            "with curl: -T FILE"
        )
    body = await request.body()
    if not body:
        said = "expected a task artifact (safetensors), got no body; with curl: -T FILE"
        raise MalformedRequest(said)
    return partial(reader, body)
