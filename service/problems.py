"""Errors on the wire: one table from exceptions to status codes, and RFC 9457 problem documents."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from math import ceil
from typing import NamedTuple

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route

from model_store import errors as store_errors
from service import errors

CALLER_LEFT = 499
"""Not in the standard: nginx's number for a caller who left. Only ever counted, never read."""

STATUS_CODES: dict[type[Exception], int] = {
    errors.MalformedRequest: 400,
    errors.InvalidInput: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.QuotaExceeded: 429,
    errors.NotHere: 404,
    errors.UnsupportedMedia: 415,
    errors.BodyTooLarge: 413,
    errors.PreconditionFailed: 412,
    errors.StaysLoaded: 409,
    errors.Unavailable: 503,
    errors.DeadlinePassed: 504,
    errors.CallerLeft: CALLER_LEFT,
    ClientDisconnect: CALLER_LEFT,
    store_errors.UnknownTask: 404,
    store_errors.VersionInUse: 409,
    store_errors.InvalidTaskName: 422,
    store_errors.CorruptArtifact: 400,
    store_errors.InvalidArtifact: 422,
    store_errors.IncompatibleBackbone: 409,
}

PROBLEM_JSON = "application/problem+json"

_log = logging.getLogger(__name__)


def problem_response(
    request: Request, status: int, detail: str, headers: dict[str, str] | None = None
) -> Response:
    """The answer to a request that the framework has."""
    return _response(_problem(*_of(request), status, detail, headers or {}))


class Problem(NamedTuple):
    """A status code, headers and a document, for whoever sends them."""

    status: int
    headers: dict[str, str]
    document: bytes


def _problem(
    path: str, request_id: str | None, status: int, detail: str, headers: dict[str, str]
) -> Problem:
    """`application/problem+json`, with `error` for clients of the Open Inference Protocol."""
    title = "Caller Left" if status == CALLER_LEFT else HTTPStatus(status).phrase
    document = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
        "request_id": request_id,
        "error": f"{title}: {detail}",
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", "1")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers["Connection"] = "close"
    return Problem(status, headers, _dumped(document))


def _dumped(document: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        # Names come from strangers: what is no valid Unicode is replaced, not refused.
        safe = {
            key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for key, value in document.items()
        }
        return orjson.dumps(safe)


def _response(problem: Problem) -> Response:
    return Response(problem.document, problem.status, problem.headers, PROBLEM_JSON)


class Described(NamedTuple):
    """An error for whoever is outside, on any face of the service."""

    status: int
    detail: str
    retry_after_seconds: float | None = None


def described(error: Exception, request: object) -> Described:
    """What to say of an error; one that is in no table is logged and says nothing."""
    kind = next((kind for kind in type(error).__mro__ if kind in STATUS_CODES), None)
    if kind is None:
        about = {"request_id": request}
        _log.error("the service made a mistake", exc_info=error, extra=about)
        return Described(500, "the service made a mistake; its log says more")
    retry_after = None
    if isinstance(error, errors.Unavailable | errors.QuotaExceeded):
        retry_after = error.retry_after_seconds
    return Described(STATUS_CODES[kind], str(error), retry_after)


def problem_of(error: Exception, path: str, request_id: str | None) -> Response:
    """The answer that an error is, in ASGI."""
    return _response(problem_in(error, path, request_id))


def problem_in(error: Exception, path: str, request_id: str | None) -> Problem:
    """The same, for whoever knows how to send it."""
    status, detail, retry_after = described(error, request_id)
    headers = {} if retry_after is None else {"Retry-After": str(max(1, ceil(retry_after)))}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _problem(path, request_id, status, detail, headers)


def add_problem_handlers(app: FastAPI, routes: Sequence[BaseRoute] = ()) -> None:
    """Answer every exception that one of the routes lets out with a problem document."""

    async def own(request: Request, error: Exception) -> Response:
        return problem_of(error, *_of(request))

    async def from_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_allowed(routes, request.url.path))
        return problem_response(request, error.status_code, str(error.detail), headers)

    async def invalid_parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        said = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
        )
        return problem_response(request, 422, said)

    for kind in (*STATUS_CODES, Exception):
        app.add_exception_handler(kind, own)
    app.add_exception_handler(HTTPException, from_framework)
    app.add_exception_handler(RequestValidationError, invalid_parameters)


def _allowed(routes: Sequence[BaseRoute], path: str) -> list[str]:
    """The methods of all routes of the path; the framework names those of the first alone."""
    allowed: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            allowed |= route.methods or set()
    return sorted(allowed)


def _of(request: Request) -> tuple[str, str | None]:
    return request.url.path, request.scope.get("request_id")
