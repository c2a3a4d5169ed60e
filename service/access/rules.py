"""What each route and each gRPC method asks of a key: the one table, which the docs print too.

A route that is not in it is for administrators, and a test names it.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from service.access.key_file import Scope


class Rule(NamedTuple):
    """Scopes of which a key needs any; None where no key is asked for."""

    needs: frozenset[Scope] | None
    changes: bool = False
    """Whether it changes tasks, so that who asked is written down."""

    @property
    def manages(self) -> bool:
        """Whether it is for those who run the service, rather than for those who ask it."""
        return self.changes or self.needs == _ADMIN


_ADMIN: frozenset[Scope] = frozenset({"admin"})
ASKING_SCOPES: frozenset[Scope] = frozenset({"predict"})
_SEE: frozenset[Scope] = frozenset({"predict", "publish"})

OPEN = Rule(None)
ASKING = Rule(ASKING_SCOPES)
SEEING = Rule(_SEE)
TRYING = Rule(frozenset({"publish"}))
CHANGING = Rule(frozenset({"publish"}), changes=True)
ADMINISTERING = Rule(_ADMIN)
NO_SUCH_ROUTE = Rule(frozenset())
"""Any key hears that there is none."""

HTTP_RULES: dict[str, Rule] = {
    "GET /livez": OPEN,
    "GET /readyz": OPEN,
    "GET /v2/health/live": OPEN,
    "GET /v2/health/ready": OPEN,
    "GET /": OPEN,
    "GET /docs": OPEN,
    "GET /openapi.json": OPEN,
    "GET /swagger": OPEN,
    "POST /v1/predict": ASKING,
    "POST /v2/models/{task}/infer": ASKING,
    "POST /v2/models/{task}/versions/{version}/infer": ASKING,
    "GET /v2": SEEING,
    "GET /v2/models/{task}": SEEING,
    "GET /v2/models/{task}/ready": SEEING,
    "GET /v2/models/{task}/versions/{version}": SEEING,
    "GET /v2/models/{task}/versions/{version}/ready": SEEING,
    "POST /v2/repository/index": SEEING,
    "GET /v1/tasks": SEEING,
    "GET /v1/tasks/{task}": SEEING,
    "PUT /v1/tasks/{task}": CHANGING,
    "DELETE /v1/tasks/{task}": CHANGING,
    "POST /v1/tasks/{task}:validate": TRYING,
    "POST /v1/tasks/{task}:warm": TRYING,
    "GET /v1/tasks/{task}/versions": SEEING,
    "GET /v1/tasks/{task}/versions/{version}": SEEING,
    "PUT /v1/tasks/{task}/versions/{version}": CHANGING,
    "DELETE /v1/tasks/{task}/versions/{version}": CHANGING,
    "PUT /v1/tasks/{task}/aliases/production": CHANGING,
    "PUT /v1/tasks/{task}/aliases/canary": CHANGING,
    "DELETE /v1/tasks/{task}/aliases/canary": CHANGING,
    "POST /v2/repository/models/{task}/load": ADMINISTERING,
    "POST /v2/repository/models/{task}/unload": ADMINISTERING,
    "GET /debug/plan": ADMINISTERING,
    "GET /metrics": ADMINISTERING,
}

GRPC_RULES: dict[str, Rule] = {
    "ServerLive": OPEN,
    "ServerReady": OPEN,
    "ServerMetadata": SEEING,
    "ModelReady": SEEING,
    "ModelMetadata": SEEING,
    "ModelInfer": ASKING,
    "RepositoryIndex": SEEING,
    "RepositoryModelLoad": ADMINISTERING,
    "RepositoryModelUnload": ADMINISTERING,
}

_REMEMBERED_PATHS = 4096
_LONGEST_REMEMBERED = 256


def names_of(path: str, methods: Iterable[str] | None) -> list[str]:
    """What the table calls a route: a name for each method; HEAD is GET's, as all of a mount is."""
    return [f"{method} {path}" for method in sorted(set(methods or {"GET"}) - {"HEAD"})]


class Rules:
    """Of an application's routes: which one a request is for, and its rule."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.names: list[str] = []
        """Of all routes, as the table calls them."""
        self._routes: list[tuple[frozenset[str], re.Pattern[str], Rule, BaseRoute]] = []
        for route in iter_route_contexts(routes):
            # Without what a part of the path has to look like; a mount's is open at its end.
            path = str(route.path_format).removesuffix("/{path}")
            for name in names_of(path, route.methods):
                method = name.partition(" ")[0]
                methods = frozenset({method, "HEAD"} if method == "GET" else {method})
                rule = HTTP_RULES.get(name, ADMINISTERING)
                self.names.append(name)
                self._routes.append((methods, route.path_regex, rule, route.original_route))
        self._of_short = lru_cache(_REMEMBERED_PATHS)(self._found)

    def of(self, method: str, path: str) -> tuple[Rule, BaseRoute | None]:
        """The rule for a request, and its route, None where there is none."""
        # Of strangers' paths only short ones are kept: their number is bounded, and so their bytes.
        found = self._of_short if len(path) <= _LONGEST_REMEMBERED else self._found
        return found(method, path)

    def _found(self, method: str, path: str) -> tuple[Rule, BaseRoute | None]:
        for methods, pattern, rule, route in self._routes:
            if method in methods and pattern.match(path):
                return rule, route
        return NO_SUCH_ROUTE, None
