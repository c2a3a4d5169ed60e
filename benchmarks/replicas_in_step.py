"""How soon a task that was uploaded to one replica answers on another, with Redis and without.

Two services as processes on one store, the default settings otherwise. Each upload is timed from
when it is begun until the other replica predicts with it, which is asked again and again; what the
upload itself took is told apart. With Redis the median is claimed; without, half the interval is
what to expect, and it is reported alone.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import httpx2
import numpy as np
import typer

from benchmarks.random_tasks import IMAGES, random_network, random_tasks
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from tests.real_parts import RedisServer, running_service
from training.studies.claims import at_most, claims_json

WITHIN_MS = 100
BACKBONE = "lenet-300-100"
UPLOADS = 200
QUICK_UPLOADS = 40
PAUSE_SECONDS = 0.001
GIVE_UP_SECONDS = 60

Timed = tuple[float, float]
"""Milliseconds that an upload took, and until the other replica answered."""


def timed(one: httpx2.Client, other: httpx2.Client, task: str, artifact: TaskArtifact) -> Timed:
    """Upload to one and ask the other until it answers."""
    row = np.zeros(IMAGES[BACKBONE].row_length, "<f4").tobytes()
    raw = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
    began = time.perf_counter()
    one.put(f"/v1/tasks/{task}", content=artifact.content).raise_for_status()
    uploaded = time.perf_counter()
    while True:
        answer = other.post("/v1/predict", params={"task": task}, content=row, headers=raw)
        ended = time.perf_counter()
        if answer.status_code == 200:
            return 1e3 * (uploaded - began), 1e3 * (ended - began)
        if answer.status_code != 404 or ended - began > GIVE_UP_SECONDS:
            raise RuntimeError(f"{task}: the other replica says {answer.status_code}")
        time.sleep(PAUSE_SECONDS)


def measured(uploads: int, **settings: str) -> list[Timed]:
    """All uploads to two replicas of a store of their own."""
    network = random_network(BACKBONE)
    with tempfile.TemporaryDirectory(prefix="impress-replicas-") as name:
        folder = Path(name) / "store"
        store, tasks = Store.create(folder, network), random_tasks(network, uploads + 1)
        store.publish(*next(tasks))
        with (
            running_service(folder, **settings) as one,
            running_service(folder, **settings) as other,
        ):
            return [timed(one, other, task, artifact) for task, artifact in tasks]


def told(where: str, times: Sequence[Timed]) -> float:
    """Print what was measured; the median until the other replica answers, in milliseconds."""
    uploading = statistics.median(upload for upload, _ in times)
    until = sorted(answered for _, answered in times)
    half, most = (float(np.percentile(until, share)) for share in (50, 99))
    print(
        f"{where}: {len(times)} uploads, answered by the other replica after {half:.1f} ms (p50), "
        f"{most:.1f} ms (p99), {until[-1]:.1f} ms at most; of which the upload {uploading:.1f} ms",
        flush=True,
    )
    return half


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer uploads.")] = False,
) -> None:
    """Measure, print, and exit 1 where the claim does not hold."""
    uploads = QUICK_UPLOADS if quick else UPLOADS
    redis = RedisServer()
    redis.start()
    try:
        half = told("with Redis", measured(uploads, REDIS_URL=redis.url))
    finally:
        redis.kill()
    told("without, looking every second", measured(uploads // 20, RECONCILE_SECONDS="1"))
    claim = at_most(
        "median until a task uploaded to one replica answers on another",
        round(half, 1),
        WITHIN_MS,
        "ms",
    )
    print(claims_json([claim]).decode(), end="")
    raise typer.Exit(0 if claim.holds else 1)


if __name__ == "__main__":
    typer.run(main)
