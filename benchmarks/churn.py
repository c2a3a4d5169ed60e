"""Whether the service's memory stays what it was while tasks come, change and go.

One real service on loopback, and callers that all at once upload, replace and delete tasks, predict
with them, leave before the answer, and send what is refused. Resident memory is sampled all along;
what counts is its median in the last tenth over that in the tenth after warming up.
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.http_overhead import Server, free_port, serving
from benchmarks.random_tasks import IMAGES, random_network, random_tasks, task_name
from model_store.store import Store
from training.studies.claims import at_most, claims_json

TASKS = 2_000
"""Names that tasks are uploaded under; about half of them are live at a time."""
ARTIFACTS = 200
CACHE_BYTES = 32 << 20
"""Of composed weights: full before the first sample that counts."""
MOST_GROWTH = 1.05

_BACKBONE = "lenet-300-100"
_OCTETS = "Content-Type: application/octet-stream"


class Caller:
    """One connection at a time, and one request on it."""

    def __init__(self, port: int, artifacts: Sequence[bytes], seed: int) -> None:
        self._port, self._artifacts = port, artifacts
        self._random = random.Random(seed)  # noqa: S311 - it chooses what to ask
        self._row = np.random.default_rng(seed).random(IMAGES[_BACKBONE].row_length, np.float32)
        self.answers: Counter[str] = Counter()

    async def work(self, until: float) -> None:
        """Ask one thing after another."""
        while time.monotonic() < until:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                for _ in range(self._random.randint(1, 50)):
                    what, request = self._next()
                    writer.write(request)
                    await writer.drain()
                    if self._random.random() < 0.05:  # leaves without waiting for the answer
                        self.answers[f"{what}, left"] += 1
                        break
                    self.answers[f"{what}, {await _status(reader)}"] += 1
            finally:
                writer.close()

    def _next(self) -> tuple[str, bytes]:
        task, chance = task_name(self._random.randrange(TASKS)), self._random.random()
        if chance < 0.75:
            path = f"/v1/predict?task={task}"
            return "predict", _request("POST", path, self._row.astype("<f4").tobytes())
        if chance < 0.76:
            return "predict without a task", _request("POST", "/v1/predict", self._row.tobytes())
        if chance < 0.88:
            artifact = self._random.choice(self._artifacts)
            return "upload", _request("PUT", f"/v1/tasks/{task}", artifact)
        if chance < 0.90:
            damaged = self._random.choice(self._artifacts)[:-7]
            return "damaged upload", _request("PUT", f"/v1/tasks/{task}", damaged)
        return "delete", _request("DELETE", f"/v1/tasks/{task}", b"")


def _request(method: str, path: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_OCTETS}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _status(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"\ncontent-length:")[2].partition(b"\r")[0]
    await reader.readexactly(int(length or 0))
    return head.split(b" ", 2)[1].decode()


def resident_bytes(server: Server) -> int:
    """Of the service's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


async def churn(
    server: Server, artifacts: Sequence[bytes], seconds: float, callers: int
) -> tuple[list[int], Counter[str]]:
    """Memory, sampled a hundred times, and how often each thing was answered how."""
    until = time.monotonic() + seconds
    asking = [Caller(server.port, artifacts, seed) for seed in range(callers)]
    work = asyncio.gather(*(caller.work(until) for caller in asking))
    sampled = []
    for _ in range(100):
        await asyncio.sleep(seconds / 100)
        sampled.append(resident_bytes(server))
    await work
    answers: Counter[str] = Counter()
    for caller in asking:
        answers += caller.answers
    return sampled, answers


def main(
    seconds: Annotated[float, typer.Option(min=5)] = 600,
    callers: Annotated[int, typer.Option(min=1)] = 8,
) -> None:
    """Measure, print, and exit 1 where the claim does not hold."""
    with tempfile.TemporaryDirectory(prefix="impress-churn-") as folder:
        store, network = Path(folder) / "store", random_network(_BACKBONE)
        tasks = list(random_tasks(network, ARTIFACTS))
        Store.create(store, network).publish_many(iter(tasks))
        port = free_port()
        settings = {"STORE": str(store), "PORT": str(port), "CACHE_BYTES": str(CACHE_BYTES)}
        with serving(["-m", "service"], port, **settings) as server:
            artifacts = [artifact.content for _, artifact in tasks]
            sampled, answers = asyncio.run(churn(server, artifacts, seconds, callers))
    for what, count in sorted(answers.items()):
        print(f"{what}: {count:,}")
    before, after = statistics.median(sampled[10:20]), statistics.median(sampled[-10:])
    print(f"resident: {before / 2**20:.1f} MiB after a tenth, {after / 2**20:.1f} MiB at the end")
    claims = [
        at_most(
            f"resident memory after {seconds:g} s of churn, over that after a tenth of it",
            round(after / before, 3),
            MOST_GROWTH,
            "ratio",
        ),
        at_most(
            "answers of 5xx but 503",
            sum(n for what, n in answers.items() if what[-3:] in ("500", "502", "504")),
            0,
            "answers",
        ),
    ]
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


if __name__ == "__main__":
    typer.run(main)
