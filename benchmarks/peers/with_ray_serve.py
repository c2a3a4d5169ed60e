"""Ray Serve with one replica that keeps 64 models, by its own multiplexing.

Its inner ports listen on every interface: run it only where loopback is the only one.
"""

import sys
import time

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.lenet import KEPT, ManyTasks, Weights, one_row


@serve.deployment(num_replicas=1, max_ongoing_requests=128, ray_actor_options={"num_cpus": 0})
class Rows:
    """A request's header says which model, which here is a task's composed weights."""

    def __init__(self) -> None:
        self._tasks = ManyTasks()

    @serve.multiplexed(max_num_models_per_replica=KEPT)
    async def composed(self, task: str) -> Weights:
        return self._tasks.compose(task)

    async def __call__(self, request: Request) -> Response:
        composed = await self.composed(serve.get_multiplexed_model_id())
        answer = self._tasks.probabilities_on(composed, one_row(await request.body()))
        return Response(answer.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    ray.init(
        include_dashboard=False,
        num_cpus=1,
        object_store_memory=100 << 20,
        _temp_dir=sys.argv[2],
        _node_ip_address="127.0.0.1",
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    application = Rows.bind()  # type: ignore[attr-defined] # what the decorator adds
    serve.run(application, route_prefix="/")
    while True:
        time.sleep(60)
