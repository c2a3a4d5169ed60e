"""Answers requests of raw tensors that ASGI has, by a task that awaits the engine."""

from collections.abc import Mapping

from starlette.types import Receive, Scope

from service.connections.raw_calls import RawAnswer, RawRequest, RawRoute
from service.engine.predictor import Predictor
from service.errors import CallerLeft
from service.routes.departure import WhileCallerWaits
from service.routes.terms import terms_of


class RawAnswers:
    """On an engine."""

    def __init__(self, predictor: Predictor, timeout_ms: float | None) -> None:
        self._predictor = predictor
        self._timeout_ms = timeout_ms

    async def to(
        self, route: RawRoute, parts: Mapping[str, str], scope: Scope, receive: Receive
    ) -> RawAnswer:
        """What the route answers. Raises what is wrong with the request, and `CallerLeft`."""
        terms = terms_of(scope, self._timeout_ms)
        # Of a header that is sent twice the last one counts.
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await _body(receive)
        call = route.read(RawRequest(headers, scope["query_string"], parts, body, terms.tenant))
        scope["task"] = call.task
        if call.timeout_ms is not None:
            terms = terms.within(call.timeout_ms)
        with WhileCallerWaits(receive):
            if call.task is None:
                prediction = await self._predictor.infer(call.rows, call.question, terms)
            else:
                prediction = await self._predictor.predict(
                    call.task, call.rows, terms, call.version
                )
        return call.answer(prediction)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft("the caller left before the body was there")
        part: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return part if not parts else b"".join((*parts, part))
        parts.append(part)
