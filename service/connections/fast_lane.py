"""ASGI middleware that answers requests of raw tensors itself, without routing or dependencies.

A framework costs such a request several times what its prediction does. Everything else, and every
path that is not the lane's, goes on to the application behind it.
"""

from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from service.connections.raw_answers import RawAnswers
from service.connections.raw_calls import RawRoute, is_raw
from service.problems import problem_of


class FastLane:
    """Takes what is posted to `routes` as raw bytes, or with a binary tensor's header."""

    def __init__(self, app: ASGIApp, routes: Sequence[RawRoute], answers: RawAnswers) -> None:
        self._app = app
        self._routes = routes
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and is_raw(dict(scope["headers"])):
            for route in self._routes:
                parts = route.parts(scope["path"])
                if parts is not None:
                    scope["route"] = route
                    await self._answer(route, parts, scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _answer(
        self, route: RawRoute, parts: Mapping[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            answer = await self._answers.to(route, parts, scope, receive)
        except Exception as error:  # the boundary: whatever it is, the caller is told
            problem = problem_of(error, scope["path"], scope.get("request_id"))
            await problem(scope, receive, send)
            return
        length = (b"content-length", b"%d" % len(answer.body))
        headers = [length, *answer.headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
