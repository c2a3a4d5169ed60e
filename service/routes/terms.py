"""On what terms a request is served: who asks, and by when."""

import time
from collections.abc import Mapping
from math import inf, nan

from starlette.types import Scope

from service.access.key_ring import Key
from service.engine.registry.entries import Terms
from service.errors import InvalidInput
from service.settings import MAX_TIMEOUT_MS

_TIMEOUT = b"x-request-timeout-ms"


def terms_of(scope: Scope, default_timeout_ms: float | None) -> Terms:
    """The terms of a request that begins now.

    Raises `InvalidInput` where `X-Request-Timeout-Ms` is none of 0 to `MAX_TIMEOUT_MS`.
    """
    client, headers = scope.get("client"), dict(scope["headers"])
    return terms_said(client[0] if client else "", headers, default_timeout_ms, scope.get("key"))


def terms_said(
    caller: str,
    headers: Mapping[bytes, bytes],
    default_timeout_ms: float | None,
    key: Key | None = None,
) -> Terms:
    """The same, by who asks, its headers, and its key where keys are asked for."""
    said = headers.get(_TIMEOUT)
    timeout_ms = default_timeout_ms if said is None else _checked_ms(said.decode("latin-1"))
    deadline = inf if timeout_ms is None else time.monotonic() + timeout_ms / 1000
    if key is None:
        return Terms(caller, deadline)
    return Terms(key.caller, deadline, key.tenant, key.allowance)


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
