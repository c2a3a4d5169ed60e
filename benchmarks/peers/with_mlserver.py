"""MLServer in one process: its own protocol in JSON, and raw bytes through a handler of the model.

Over REST it takes tensors as JSON only, so `rows` is the way that it leaves for raw ones.
"""

import asyncio
import sys

import numpy as np
from fastapi import Request, Response
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.peers.lenet import ManyTasks


class Rows(MLModel):
    """One model for all tasks, since a model of its own for each would keep them all composed."""

    async def load(self) -> bool:
        self._tasks = ManyTasks()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The task is a parameter of the request."""
        rows = np.array([payload.inputs[0].data.root], np.float32)
        probabilities = self._tasks.probabilities(payload.parameters.task, rows)
        output = ResponseOutput(
            name="probabilities", shape=[1, 10], datatype="FP32", data=probabilities[0].tolist()
        )
        return InferenceResponse(model_name=self.name, outputs=[output])

    @custom_handler(rest_path="/predict")
    async def rows(self, request: Request, task: str) -> Response:
        """One row, raw both ways."""
        answer = self._tasks.answer(task, await request.body())
        return Response(answer, media_type="application/octet-stream")


async def _serve(port: int, grpc_port: int) -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=grpc_port,
        metrics_endpoint=None,
        parallel_workers=0,
        gzip_enabled=False,
        debug=False,
    )
    await MLServer(settings).start([ModelSettings(name="lenet", implementation=Rows)])


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
