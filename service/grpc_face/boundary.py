"""What surrounds each call: who asks and by when, what went wrong, and that it was counted.

Status codes are the one table's, translated; metrics are those of requests by HTTP, so that what
watches them watches these too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import grpc

from service.access.key_ring import Key, KeyRing
from service.access.rules import GRPC_RULES, OPEN, Rule
from service.engine.registry.entries import Terms
from service.errors import NotHere
from service.problems import CALLER_LEFT, described
from service.watching.observer import Observer

STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    412: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""gRPC's word for each status code of `service.problems`."""

_PUSHBACK = "grpc-retry-pushback-ms"
"""Retry-After, as gRPC's own retries read it."""

Answer = Callable[[Any, Terms], Awaitable[Any]]
"""From a request and the terms of its caller."""


class Boundary:
    """Makes handlers of answers.

    With a `ring` each call is asked for a key, by its method's rule. What is for those who run the
    service is not served where that has a port of its own.
    """

    def __init__(
        self,
        observer: Observer,
        default_timeout_ms: float | None,
        ring: KeyRing | None = None,
        managed_elsewhere: bool = False,
    ) -> None:
        self._observer = observer
        self._default_timeout_ms = default_timeout_ms
        self._ring = ring
        self._managed_elsewhere = managed_elsewhere

    def around(self, path: str, answer: Answer) -> Callable[[Any, Any], Awaitable[Any]]:
        """The handler of what is called as `path`; a method has a rule where keys are asked for."""
        guarded = self._ring is not None or self._managed_elsewhere
        rule = GRPC_RULES[path.rpartition("/")[2]] if guarded else OPEN

        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            started, code, name = perf_counter(), 200, self._name(context)
            self._observer.begin()
            try:
                key = self._admitted(rule, context)
                return await answer(request, self._terms(context, key))
            except asyncio.CancelledError:
                # gRPC cancels a call whose deadline passed, as one whose caller left.
                remaining = context.time_remaining()
                code = CALLER_LEFT if remaining is None or remaining > 0 else 504
                raise
            except Exception as error:  # the boundary: whatever it is, the caller is told
                code, said, retry_after_seconds = described(error, name)
                trailing: tuple[tuple[str, str], ...] = ()
                if retry_after_seconds is not None:
                    trailing = ((_PUSHBACK, str(max(1, round(retry_after_seconds * 1000)))),)
                await context.abort(STATUS[code], said, trailing)
            finally:
                seconds = perf_counter() - started
                about = {"request_id": name, "task": getattr(request, "model_name", None)}
                self._observer.end(path, "POST", code, seconds, lambda: about)

        return call

    def _name(self, context: Any) -> str:
        given = context.invocation_metadata() or ()
        texts = {key.encode(): value.encode() for key, value in given if isinstance(value, str)}
        return self._observer.name(texts).decode()

    def _admitted(self, rule: Rule, context: Any) -> Key | None:
        if rule.manages and self._managed_elsewhere:
            raise NotHere("this is served on the management port alone, over HTTP")
        if rule.needs is None or self._ring is None:
            return None
        given = [value for name, value in context.invocation_metadata() if name == "authorization"]
        return self._ring.admitted(given[0].encode() if len(given) == 1 else None, rule.needs)

    def _terms(self, context: Any, key: Key | None) -> Terms:
        remaining = context.time_remaining()
        if remaining is None and self._default_timeout_ms is not None:
            remaining = self._default_timeout_ms / 1000
        deadline = inf if remaining is None else time.monotonic() + remaining
        if key is None:
            return Terms(caller_of(context.peer()), deadline)
        return Terms(key.caller, deadline, key.tenant, key.allowance)


def caller_of(peer: str) -> str:
    """The address that gRPC's name of a peer holds, as HTTP has it: no port, no brackets."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    return unquote(rest.rpartition(":")[0]).strip("[]")
