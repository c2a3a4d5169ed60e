"""What can go wrong for a caller of the service. Nothing else leaves the client, but for bugs.

ClientError
├── InvalidInput             what was given cannot be sent; nothing was
├── ServerAway               there was no connection; nothing was sent
├── ConnectionBroke          it was sent and no answer came: it may have been carried out, or not
├── DeadlinePassed           the caller's own time was over
│   └── TooLate              ... and it was the service that said so (504)
├── UnexpectedAnswer         not what the service answers: another server, or another version
└── Refused                  the service said no, and why: `problem`
    ├── InvalidRequest       what was sent cannot be served: 400, 413, 415, 422
    ├── Forbidden            no key, a wrong one, or one for less than this: 401, 403
    ├── NotFound             no such task, or a server that does not know this request: 404, 405
    ├── Conflict             made for another store, or changed meanwhile: 409, 412
    ├── Unavailable          not now, and why; `retry_after_seconds` says when: 429, 502, 503
    ├── TooLate              as above: 504
    └── ServerFailed         the service made a mistake: any other 5xx
"""

from dataclasses import dataclass


class ClientError(Exception):
    """Anything that went wrong."""


class InvalidInput(ClientError, ValueError):
    """What was given cannot be sent; nothing was."""


class ServerAway(ClientError):
    """There was no connection; nothing was sent."""


class ConnectionBroke(ClientError):
    """It was sent and no answer came: it may have been carried out, or not."""


class DeadlinePassed(ClientError):
    """The caller's own time was over before an answer was there."""


class UnexpectedAnswer(ClientError):
    """An answer that the service does not give: another server, or another version of it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error's answer says (RFC 9457); `request_id` finds it in the service's log."""

    status: int
    title: str
    detail: str
    request_id: str | None = None


class Refused(ClientError):
    """The service said no, and why."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        # As given, so that it can cross to another process and back.
        super().__init__(problem, retry_after_seconds)
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.problem.status} {self.problem.title}: {self.problem.detail}"

    @property
    def request_id(self) -> str | None:
        """The name under which the service's log knows the request."""
        return self.problem.request_id


class InvalidRequest(Refused):
    """What was sent cannot be served."""


class Forbidden(Refused):
    """No key, a wrong one, or one for less than this."""


class NotFound(Refused):
    """No such task, or a server that does not know this request."""


class Conflict(Refused):
    """Made for another store, or changed meanwhile."""


class Unavailable(Refused):
    """Not now: a full queue, a quota, a server that starts or stops."""


class TooLate(Refused, DeadlinePassed):
    """The service says that the caller's time was over."""


class ServerFailed(Refused):
    """The service made a mistake; its log says more."""


_BY_STATUS: dict[int, type[Refused]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    412: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: TooLate,
}


def refusal(problem: Problem, retry_after_seconds: float | None) -> Refused:
    """The error for a problem, by its status."""
    otherwise = ServerFailed if problem.status >= 500 else InvalidRequest
    return _BY_STATUS.get(problem.status, otherwise)(problem, retry_after_seconds)
