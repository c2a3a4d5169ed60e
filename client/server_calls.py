"""The requests about the service itself, and how their answers are read. Sends nothing."""

from typing import Any

from pydantic import TypeAdapter

from client.attempts import Call
from client.errors import Problem
from client.reading import answer_as
from client.results import Readiness, ServerInfo

_INFO = TypeAdapter(ServerInfo)
_READINESS = TypeAdapter(Readiness)
_OBJECT = TypeAdapter(dict[str, Any])


def alive() -> Call[None]:
    """Whether the process answers at all."""
    return Call("GET", "/livez", lambda _: None, patient=False)


def ready() -> Call[Readiness]:
    """Whether it takes requests; a client makes its refusal an answer."""
    return Call("GET", "/readyz", lambda answer: answer_as(_READINESS, answer), patient=False)


def unready(problem: Problem) -> Readiness:
    """The answer of a service that takes none."""
    return Readiness(ready=False, because=problem.detail)


def server() -> Call[ServerInfo]:
    """Which server this is."""
    return Call("GET", "/v2", lambda answer: answer_as(_INFO, answer))


def metrics() -> Call[str]:
    """Prometheus' text."""
    return Call("GET", "/metrics", lambda answer: answer.text)


def plan() -> Call[dict[str, Any]]:
    """How the service computes its batches, in its own words."""
    return Call("GET", "/debug/plan", lambda answer: answer_as(_OBJECT, answer))
