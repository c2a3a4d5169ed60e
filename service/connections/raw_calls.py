"""Requests of raw tensors apart from how they came: what a route reads in one, and answers.

Knows neither ASGI nor sockets, so that both ways to serve them say the same.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.engine.inference.question import PLAIN_QUESTION, Question
from service.engine.prediction import Prediction
from service.engine.registry.entries import Rows

OCTETS = b"application/octet-stream"
HEADER_LENGTH = b"inference-header-content-length"


@dataclass(slots=True)
class RawRequest:
    """Headers by lower-case name, the parts of the path by theirs, and the whole body."""

    headers: Mapping[bytes, bytes]
    query: bytes
    path: Mapping[str, str]
    body: bytes
    tenant: str | None = None
    """Of whoever asks."""


@dataclass(slots=True)
class RawAnswer:
    """A body and its headers, of status 200; the length is added."""

    body: bytes
    headers: Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class RawCall:
    """Checked rows of a task, or None where it is to be inferred, and how to answer them."""

    task: str | None
    rows: Rows
    answer: Callable[[Prediction], RawAnswer]
    timeout_ms: float | None = None
    """What its body, beside the headers, says of how long the answer may take."""
    version: str | None = None
    """Of the task, by its content hash; None is whichever answers."""
    question: Question = PLAIN_QUESTION
    """Where the task is to be inferred."""


Read = Callable[[RawRequest], RawCall]
"""Raises what is wrong with the request."""

LeastRows = Callable[[bytes, Mapping[str, str], int], int]
"""Of a query, the parts of a path and the length of a body: at least so many rows of one named task
are in it. 0 where it names none, or is wrong. Raises what is wrong with the query."""


class RawRoute:
    """A path with `{names}` and what reads its requests; metrics know it by that path."""

    def __init__(self, path: str, read: Read, least_rows: LeastRows) -> None:
        self.path = path
        self.read = read
        self.least_rows = least_rows
        self._match = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)).fullmatch

    def parts(self, path: str) -> Mapping[str, str] | None:
        """The parts by name, where the path is this route's."""
        matched = self._match(path)
        return None if matched is None else matched.groupdict()


def is_raw(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a body is raw bytes, or has a binary tensor."""
    content_type = headers.get(b"content-type", b"")
    return (
        content_type == OCTETS
        or HEADER_LENGTH in headers
        or content_type.partition(b";")[0].strip().lower() == OCTETS
    )
