"""ASGI middleware for a port of its own for those who run the service: elsewhere there is none."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.rules import Rules
from service.errors import NotHere
from service.problems import problem_of


class ManagementPort:
    """By the port of the socket that the request came to, not by what the request says."""

    def __init__(self, app: ASGIApp, rules: Rules, port: int) -> None:
        self._app = app
        self._rules = rules
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_managements(scope):
            rule, route = self._rules.of(scope["method"], scope["path"])
            if rule.manages:
                scope["route"] = route
                error = NotHere("this is served on the management port alone")
                problem = problem_of(error, scope["path"], scope.get("request_id"))
                await problem(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_managements(self, scope: Scope) -> bool:
        server = scope.get("server")
        return server is not None and server[1] == self._port
