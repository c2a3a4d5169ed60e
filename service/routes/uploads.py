"""A task artifact in a request's body: safetensors bytes, or JSON with the same fields."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import Request

from model_store.artifact_json import parts_of_json
from model_store.task_artifact import ArtifactParts, artifact_parts
from model_store.task_tags import checked_tags
from service.errors import InvalidInput, MalformedRequest, UnsupportedMedia
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


def said_tags(said: str) -> tuple[str, ...]:
    """Tags, comma-separated, each once and in order. Raises `InvalidInput`."""
    try:
        return checked_tags(said.split(",")) if said else ()
    except ValueError as error:
        raise InvalidInput(f"tags: {error}") from None


async def upload(request: Request, tags: str = "") -> Callable[[], ArtifactParts]:
    """What reads the body, which takes a while; the body is here, and within its bound.

    Where tags are said they take the place of the artifact's own, which makes it another version.
    """
    wanted = said_tags(tags)
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
    return partial(_retagged, reader, body, wanted) if wanted else partial(reader, body)


def _retagged(
    reader: Callable[[bytes], ArtifactParts], body: bytes, tags: tuple[str, ...]
) -> ArtifactParts:
    parts = reader(body)
    if parts.record is None:
        return parts
    return parts._replace(record=parts.record.model_copy(update={"tags": tags}))
