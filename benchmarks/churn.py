"""Whether the service stays what it was while tasks come, change and go: memory and descriptors.

One real service on loopback, and callers that all at once upload, replace and delete tasks, predict
with them, leave before the answer, and send what is refused; one more asks for the same task all
the time, and how long its answers take is drawn and no claim. What counts is the median in the last
tenth over that in the tenth after warming up.
"""

import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from benchmarks.churning.callers import BACKBONE, LIVE, STEADY, Caller, SteadyCaller
from benchmarks.figures.over_time import over_time_png
from benchmarks.http_overhead import Server, free_port, serving
from benchmarks.random_tasks import IMAGES, random_network, random_tasks, task_name
from model_store.files import LocalFolder
from model_store.store import Store
from training.studies.claims import at_most, claims_json

ARTIFACTS = 200
CACHE_BYTES = 32 << 20
"""Of composed weights: full before the first sample that counts."""
MOST_GROWTH = 1.05
MORE_DESCRIPTORS = 8
"""Connections open at once vary by as many as there are callers."""

FIGURE = "churn.png"


class Sample(NamedTuple):
    """Of the service, at one moment."""

    resident_bytes: int
    descriptors: int
    slow_ms: float
    """99 % of the steady caller's answers since the last sample took no longer."""


def sample(server: Server, steady: SteadyCaller) -> Sample:
    """Of the service's process, now."""
    process = Path(f"/proc/{server.process.pid}")
    resident = (process / "status").read_text().partition("VmRSS:")[2].split()[0]
    return Sample(1024 * int(resident), len(list((process / "fd").iterdir())), steady.slow_ms())


async def churn(
    server: Server, artifacts: Sequence[bytes], seconds: float, callers: int
) -> tuple[list[Sample], Counter[str]]:
    """A hundred samples, and how often each thing was answered how."""
    until = time.monotonic() + seconds
    asking = [Caller(server.port, artifacts, seed) for seed in range(callers)]
    row = np.zeros(IMAGES[BACKBONE].row_length, "<f4").tobytes()
    steady = SteadyCaller(server.port, row)
    work = asyncio.gather(steady.work(until), *(caller.work(until) for caller in asking))
    sampled = []
    for number in range(1, 101):
        # By the clock: where the machine is late once, the callers do not wait for the samples.
        await asyncio.sleep(max(0, until - seconds * (1 - number / 100) - time.monotonic()))
        sampled.append(sample(server, steady))
    await work
    answers: Counter[str] = Counter()
    for caller in asking:
        answers += caller.answers
    return sampled, answers


def main(
    seconds: Annotated[float, typer.Option(min=5)] = 600,
    callers: Annotated[int, typer.Option(min=1)] = 8,
    figures: Annotated[Path | None, typer.Option(help="A folder for the figure.")] = None,
) -> None:
    """Measure, print, and exit 1 where the claim does not hold."""
    with tempfile.TemporaryDirectory(prefix="impress-churn-") as folder:
        store, network = Path(folder) / "store", random_network(BACKBONE)
        artifacts = [artifact for _, artifact in random_tasks(network, ARTIFACTS)]
        live = ((task_name(index), artifacts[index % ARTIFACTS]) for index in range(LIVE))
        Store.create(store, network).publish_many([(STEADY, artifacts[0]), *live])
        port = free_port()
        settings = {"STORE": str(store), "PORT": str(port), "CACHE_BYTES": str(CACHE_BYTES)}
        with serving(["-m", "service"], port, **settings) as server:
            contents = [artifact.content for artifact in artifacts]
            sampled, answers = asyncio.run(churn(server, contents, seconds, callers))
    for what, count in sorted(answers.items()):
        print(f"{what}: {count:,}")
    early, late = sampled[10:20], sampled[-10:]
    before, after = (statistics.median(x.resident_bytes for x in part) for part in (early, late))
    print(f"resident: {before / 2**20:.1f} MiB after a tenth, {after / 2**20:.1f} MiB at the end")
    few, many = (statistics.median(x.descriptors for x in part) for part in (early, late))
    print(f"descriptors: {few:g} after a tenth, {many:g} at the end")
    if figures is not None:
        LocalFolder(figures).write(FIGURE, _drawn(sampled, seconds))
    claims = [
        at_most(
            f"resident memory after {seconds:g} s of churn, over that after a tenth of it",
            round(after / before, 3),
            MOST_GROWTH,
            "ratio",
        ),
        at_most(
            f"open descriptors after {seconds:g} s of churn, more than after a tenth of it",
            many - few,
            MORE_DESCRIPTORS,
            "descriptors",
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


def _drawn(sampled: Sequence[Sample], seconds: float) -> bytes:
    panels = {
        "resident memory, MiB": [one.resident_bytes / 2**20 for one in sampled],
        "open descriptors": [float(one.descriptors) for one in sampled],
        "99 % of answers to one steady caller, ms": [one.slow_ms for one in sampled],
    }
    moments = [seconds * (index + 1) / len(sampled) for index in range(len(sampled))]
    return over_time_png(moments, panels)


if __name__ == "__main__":
    typer.run(main)
