"""Who asked to change which task, and what came of it: a line in the log for each.

Also for what was refused or failed; not for whose key was no good, of whom there is no end.
"""

import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.key_ring import Key
from service.access.rules import Rules
from service.access.tenants import tenant_of
from service.watching.logs import AUDIT_LOG

_log = logging.getLogger(AUDIT_LOG)

LiveVersion = Callable[[str | None, str], str | None]
"""Of a tenant's task the content hash; None where there is no such task."""


def task_in(scope: Scope) -> str:
    """Which task a path below `/v1/tasks/` is about, in as many letters as a name may have."""
    return str(scope["path"]).removeprefix("/v1/tasks/").partition("/")[0][:128]


def _version_in(scope: Scope) -> str | None:
    """The version that the path names, in as many letters as one has."""
    _, found, version = str(scope["path"]).partition("/versions/")
    return version[:64] if found else None


def write_down(
    scope: Scope, status: int, version: str | None = None, before: str | None = None
) -> None:
    """That a change was asked for; `before` is the version that answered then."""
    key: Key | None = scope.get("key")
    client = scope.get("client")
    said = {
        "key": None if key is None else key.name,
        "tenant": tenant_of(scope),
        "address": client[0] if client else None,
        "method": scope["method"],
        "route": getattr(scope.get("route"), "path_format", None),
        "task": task_in(scope),
        "version": version,
        "before": before,
        "status": status,
        "result": "done" if status < 300 else "refused" if status < 500 else "failed",
        "request_id": scope.get("request_id"),
    }
    told = {name: value for name, value in said.items() if value is not None}
    _log.info("change of a task", extra=told)


class Audited:
    """ASGI middleware inside of `Access`; what that refuses it has written down itself."""

    def __init__(self, app: ASGIApp, rules: Rules, live_version: LiveVersion) -> None:
        self._app = app
        self._rules = rules
        self._live_version = live_version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._rules.of(scope["method"], scope["path"])[0].changes:
            await self._app(scope, receive, send)
            return
        before = self._live_version(tenant_of(scope), task_in(scope))
        status, version = 500, None

        async def send_noting(message: Message) -> None:
            nonlocal status, version
            if message["type"] == "http.response.start":
                status = message["status"]
                etag = dict(message.get("headers", ())).get(b"etag")
                version = None if etag is None else etag.decode("latin-1").strip('"')
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            write_down(scope, status, version or _version_in(scope), before)
