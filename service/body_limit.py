"""ASGI middleware that refuses bodies beyond a size, before they are held in memory."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge


class BodyLimit:
    """Raises `BodyTooLarge` into the route as it reads, by declared length or by counting."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        declared_bytes = int(declared) if declared.isdecimal() else 0
        received_bytes = 0

        async def receive_within() -> Message:
            nonlocal received_bytes
            if declared_bytes > self._max_bytes:
                raise BodyTooLarge(
                    f"a body may have {self._max_bytes} bytes, this one has {declared_bytes}"
                )
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._max_bytes:
                raise BodyTooLarge(f"a body may have {self._max_bytes} bytes, this one has more")
            return message

        await self._app(scope, receive_within, send)
