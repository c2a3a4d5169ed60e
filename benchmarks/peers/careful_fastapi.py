"""FastAPI as who knows its costs writes it: raw bytes both ways, computed where they arrive."""

from fastapi import FastAPI, Request, Response

from benchmarks.peers.lenet import ManyTasks

app = FastAPI()
_tasks = ManyTasks()


@app.post("/predict")
async def predict(request: Request, task: str) -> Response:
    """One row; a thread of its own would cost more than the computation."""
    answer = _tasks.answer(task, await request.body())
    return Response(answer, media_type="application/octet-stream")
