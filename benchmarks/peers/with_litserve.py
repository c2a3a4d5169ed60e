"""LitServe: FastAPI before one worker process, which takes what waits as a batch."""

import sys
from typing import Annotated

from fastapi import Body, Response
from litserve import LitAPI, LitServer

from benchmarks.peers.lenet import ManyTasks

_BATCH, _WAIT_SECONDS = 32, 0.001


class Rows(LitAPI):
    """Names and rows in one body, since a worker sees nothing else of a request."""

    def setup(self, device: str) -> None:
        self._tasks = ManyTasks()

    def decode_request(
        self, request: Annotated[bytes, Body(media_type="application/octet-stream")]
    ) -> bytes:
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def predict(self, x: list[bytes]) -> list[bytes]:
        return self._tasks.answers(x)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/octet-stream")


if __name__ == "__main__":
    server = LitServer(
        Rows(max_batch_size=_BATCH, batch_timeout=_WAIT_SECONDS),
        accelerator="cpu",
        devices=1,
        workers_per_device=1,
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
