"""ASGI middleware that refuses bodies beyond a size, before they are held in memory."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge


class BodyLimit:
    """Raises `BodyTooLarge` into the route as it reads, by declared length or by counting."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            declared_bytes = _declared_bytes(scope["headers"])
            # What is declared needs no counting: a server hands on no more of a body than that.
            if declared_bytes is None or declared_bytes > self._max_bytes:
                receive = self._within(receive, declared_bytes or 0)
        await self._app(scope, receive, send)

    def _within(self, receive: Receive, declared_bytes: int) -> Receive:
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

        return receive_within


def _declared_bytes(headers: list[tuple[bytes, bytes]]) -> int | None:
    """The one `Content-Length`; None where there is none, or the body comes in chunks."""
    declared = None
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            # Of bounded length, so that no number takes long to read.
            if declared is not None or len(value) > 20 or not value.isdigit():
                return None
            declared = int(value)
    return declared
