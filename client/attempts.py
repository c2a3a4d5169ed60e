"""One call from its first attempt to its answer, without the waiting and the sending themselves.

So the blocking and the asynchronous client are the same but for an `await`.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import httpx2

from client.errors import (
    ClientError,
    ConnectionBroke,
    DeadlinePassed,
    InvalidInput,
    Problem,
    ServerAway,
    UnexpectedAnswer,
    refusal,
)
from client.retries import Retries, retry_after_seconds

_MAX_TIMEOUT_MS = 3_600_000
"""More than this the service refuses to be told."""
_CONNECT_SECONDS = 5.0
# Of a page that some other server shows.
_SHOWN = 200

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request, how its answer is read, and whether it may be sent again."""

    method: str
    path: str
    read: Callable[[httpx2.Response], Result]
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    has_deadline: bool = False
    """Whether the service is told how long its answer may take."""
    repeatable: bool = True
    """Whether to send it again where nobody knows if it was carried out."""
    patient: bool = True
    """Whether "not now" is waited out. A probe's caller wants to hear it."""


class Attempts(Generic[Result]):
    """Says what to send, and after each failure how long to wait, or raises what it came to."""

    def __init__(
        self, call: Call[Result], url: str, retries: Retries, timeout_seconds: float | None
    ) -> None:
        if timeout_seconds is not None and not timeout_seconds > 0:
            raise InvalidInput(f"timeout_seconds: expected more than 0, got {timeout_seconds}")
        self._call = call
        self._url = url
        self._retries = retries
        self._timeout_seconds = timeout_seconds
        self._begun = time.monotonic()
        self._failed = 0

    def request(self, http: "httpx2.Client | httpx2.AsyncClient") -> httpx2.Request:
        """The next attempt. Raises `DeadlinePassed` where no time is left for one."""
        call, left = self._call, self._left()
        if left is not None and left <= 0:
            raise self._late()
        headers = dict(call.headers)
        if call.has_deadline and left is not None:
            headers["X-Request-Timeout-Ms"] = f"{min(1000 * left, _MAX_TIMEOUT_MS):.3f}"
        connect = _CONNECT_SECONDS if left is None else min(left, _CONNECT_SECONDS)
        timeout = httpx2.Timeout(left, connect=connect)
        return http.build_request(
            call.method,
            call.path,
            params=call.params or None,
            headers=headers,
            content=call.content,
            timeout=timeout,
        )

    def refused(self, response: httpx2.Response) -> float:
        """How long to wait after a refusal. Raises it where that is over, or no use."""
        problem = _problem(response)
        if problem is None:
            raise UnexpectedAnswer(_strange(response, self._url))
        asked = retry_after_seconds(response.headers)
        # A gateway's 502 leaves open whether the service behind it was reached.
        again = response.status_code in (429, 503) or (
            response.status_code == 502 and self._call.repeatable
        )
        return self._wait_or_raise(
            refusal(problem, asked), asked, again=again and self._call.patient
        )

    def failed(self, error: httpx2.RequestError) -> float:
        """How long to wait after no answer came. Raises what it came to where that is over."""
        said = str(error) or type(error).__name__
        match error:
            case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError():
                raise InvalidInput(said) from error
            case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
                away = ServerAway(f"no connection to {self._url}: {said}")
                return self._wait_or_raise(away, None, again=True, cause=error)
            case httpx2.TimeoutException():
                raise self._late() from error
            case httpx2.DecodingError() | httpx2.TooManyRedirects():
                raise UnexpectedAnswer(f"{self._url} answered what cannot be read: {said}")
        what = f"{self._call.method} {self._call.path}"
        broke = ConnectionBroke(f"the connection to {self._url} broke during {what}: {said}")
        return self._wait_or_raise(broke, None, again=self._call.repeatable, cause=error)

    def _left(self) -> float | None:
        if self._timeout_seconds is None:
            return None
        return self._begun + self._timeout_seconds - time.monotonic()

    def _late(self) -> DeadlinePassed:
        return DeadlinePassed(f"no answer from {self._url} within {self._timeout_seconds:g} s")

    def _wait_or_raise(
        self,
        error: ClientError,
        asked: float | None,
        *,
        again: bool,
        cause: Exception | None = None,
    ) -> float:
        self._failed += 1
        draw = random.random()  # noqa: S311 spreads callers, hides nothing
        wait = self._retries.wait_seconds(self._failed, asked, self._left(), draw)
        if not again or wait is None:
            raise error from cause
        return wait


def _problem(response: httpx2.Response) -> Problem | None:
    """The answer's problem document; gateways' own refusals are made one."""
    status, title = response.status_code, response.reason_phrase
    if "application/problem+json" not in response.headers.get("content-type", ""):
        if status in (429, 502, 503, 504):
            return Problem(status, title, "said by something between here and the service")
        return None
    try:
        document = response.json()
        title, detail = document["title"], document["detail"]
    except (ValueError, KeyError, TypeError):
        return None
    request_id = document.get("request_id")
    return Problem(status, str(title), str(detail), None if request_id is None else str(request_id))


def _strange(response: httpx2.Response, url: str) -> str:
    said = f"{url} answered {response.status_code} {response.reason_phrase}"
    if response.is_redirect:
        return f"{said}: it is at {response.headers.get('location', 'another address')}"
    page = " ".join(response.text[:_SHOWN].split())
    return f"{said}, and not as the service does: is this its address? It said: {page or 'nothing'}"
