"""The least that Starlette can do with a request: read its bytes and answer ANSWER_BYTES."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_ANSWER = bytes(int(os.environ["ANSWER_BYTES"]))


async def read_and_answer(request: Request) -> Response:
    """Bytes for bytes."""
    await request.body()
    return Response(_ANSWER, media_type="application/octet-stream")


app = Starlette(routes=[Route("/{path:path}", read_and_answer, methods=["POST"])])
