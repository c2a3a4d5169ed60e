"""FastAPI as its tutorial has it: a body and an answer of pydantic, and a function in a thread."""

from threading import Lock

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.lenet import ManyTasks

app = FastAPI()
_tasks, _one_at_a_time = ManyTasks(), Lock()


class Row(BaseModel):
    """A request."""

    task: str
    row: list[float]


class Answer(BaseModel):
    """Of one row."""

    probabilities: list[float]


@app.post("/predict")
def predict(body: Row) -> Answer:
    """One row; the cache of composed tasks takes one thread at a time."""
    rows = np.array([body.row], np.float32)
    with _one_at_a_time:
        probabilities = _tasks.probabilities(body.task, rows)
    return Answer(probabilities=probabilities[0].tolist())
