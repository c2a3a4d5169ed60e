"""On what terms a request is served: who asks, and by when."""

import time
from math import nan

from fastapi import Request

from service.engine.entries import Terms
from service.errors import InvalidInput
from service.settings import MAX_TIMEOUT_MS


def terms_of(request: Request, default_timeout_ms: float | None) -> Terms:
    """The terms of a request that begins now.

    Raises `InvalidInput` where `X-Request-Timeout-Ms` is none of 0 to `MAX_TIMEOUT_MS`.
    """
    caller = request.client.host if request.client is not None else ""
    said = request.headers.get("x-request-timeout-ms")
    timeout_ms = default_timeout_ms if said is None else _checked_ms(said)
    if timeout_ms is None:
        return Terms(caller)
    return Terms(caller, time.monotonic() + timeout_ms / 1000)


def _checked_ms(said: str) -> float:
    try:
        timeout_ms = float(said)
    except ValueError:
        timeout_ms = nan
    if not 0 < timeout_ms <= MAX_TIMEOUT_MS:
        raise InvalidInput(
            f"X-Request-Timeout-Ms: expected milliseconds up to {MAX_TIMEOUT_MS}, got {said[:40]!r}"
        )
    return timeout_ms
