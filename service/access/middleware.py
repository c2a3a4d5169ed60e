"""ASGI middleware that lets in whom it should, before a body is read."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.audit import write_down
from service.access.key_file import Scope as KeyScope
from service.access.key_ring import KeyRing, check_scope
from service.access.rules import Rules
from service.errors import ServiceError
from service.problems import problem_of


class Access:
    """Sets `scope["key"]` and `scope["tenant"]`, or answers 401, 403 or 429 itself."""

    def __init__(self, app: ASGIApp, rules: Rules, ring: KeyRing) -> None:
        self._app = app
        self._rules = rules
        self._ring = ring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            rule, route = self._rules.of(scope["method"], scope["path"])
            if rule.needs is not None:
                try:
                    self._admit(scope, rule.needs)
                except ServiceError as error:
                    # As metrics know it, had it come there.
                    scope["route"] = route
                    problem = problem_of(error, scope["path"], scope.get("request_id"))
                    if rule.changes and "key" in scope:
                        write_down(scope, problem.status_code)
                    await problem(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope, needs: frozenset[KeyScope]) -> None:
        presented = [value for name, value in scope["headers"] if name == b"authorization"]
        # Of two, which one is meant is not for here to say.
        key = self._ring.holder(presented[0] if len(presented) == 1 else None)
        scope["key"], scope["tenant"] = key, key.tenant
        check_scope(key, needs)
        key.allowance.take_request()
