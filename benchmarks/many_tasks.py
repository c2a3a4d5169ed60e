"""How fast a store of very many tasks opens in the service, and what they take in its memory.

Both bounds are absolute: seconds, and bytes in memory as a multiple of the tasks' own. The store
is LeNet-300-100 over a partition of 256, with random coefficients in fp16. It is opened in three
processes, one after the other: the least time counts, since a busy machine only adds to it, and
the most memory.
"""

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry

from benchmarks.random_tasks import random_network, random_tasks
from model_store.store import Store
from service.engine.registry.registry import TaskRegistry
from service.watching.telemetry import Telemetry
from training.studies.claims import at_most, claims_json

OPENS_WITHIN_SECONDS = 5
MEMORY_RATIO = 1.2
OPENED_TIMES = 3


def opened(folder: Path) -> dict[str, float]:
    """Open the store as the service does: how long it took, and by how much this process grew."""
    before = resident_bytes()
    start = time.perf_counter()
    registry = TaskRegistry(
        Store.open(folder), ThreadPoolExecutor(1), Telemetry(CollectorRegistry())
    )
    registry.load_all()
    seconds = time.perf_counter() - start
    return {
        "tasks": len(registry),
        "seconds": seconds,
        "memory_bytes": resident_bytes() - before,
    }


def opened_anew(folder: Path) -> dict[str, float]:
    """The same of a fresh process."""
    done = subprocess.run(  # noqa: S603 - this program itself
        [sys.executable, "-m", "benchmarks.many_tasks", "--folder", str(folder)],
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def resident_bytes() -> int:
    """Of this process."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def main(
    tasks: Annotated[int, typer.Option(min=1)] = 100_000,
    folder: Annotated[Path | None, typer.Option(help="Only open the store that is there.")] = None,
) -> None:
    """Build, open in a fresh process and print; exit 1 where a claim does not hold."""
    if folder is not None:
        print(json.dumps(opened(folder)))
        return
    network = random_network("lenet-300-100")
    with tempfile.TemporaryDirectory(prefix="impress-many-") as name:
        start = time.perf_counter()
        store = Store.create(Path(name) / "store", network)
        store.publish_many(random_tasks(network, tasks, "fp16"))
        wrote_s = time.perf_counter() - start
        content_bytes = sum(len(content) for _, content in store.log.contents())
        times = [opened_anew(Path(name) / "store") for _ in range(OPENED_TIMES)]
    seconds = [measured["seconds"] for measured in times]
    memory_bytes = max(measured["memory_bytes"] for measured in times)
    print(
        f"{times[0]['tasks']:,} tasks, {content_bytes:,} bytes: written in {wrote_s:.1f} s, opened "
        f"in {min(seconds):.2f} to {max(seconds):.2f} s, {memory_bytes:,} bytes in memory"
    )
    ratio = memory_bytes / content_bytes
    claims = [
        at_most(f"opening {tasks:,} tasks", round(min(seconds), 2), OPENS_WITHIN_SECONDS, "s"),
        at_most(f"memory of {tasks:,} tasks", round(ratio, 3), MEMORY_RATIO, "times their bytes"),
    ]
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


if __name__ == "__main__":
    typer.run(main)
