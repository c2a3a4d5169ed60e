"""How fast a store of very many tasks opens in the service, and what they take in its memory.

The bounds are absolute: seconds, and bytes in memory as a multiple of the tasks' own. The store
is LeNet-300-100 over a partition of 256, with random coefficients in fp16. It is opened in three
processes, one after the other: the least time counts, since a busy machine only adds to it, and
the most memory. Then a process opens it while another has it open: what that one has for itself is
what one more process adds.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry

from benchmarks.random_tasks import random_network, random_tasks
from model_store.store import Store
from service.engine.registry.registry import TaskRegistry
from service.engine.registry.shared_arrays import SharedArrays
from service.watching.telemetry import Telemetry
from training.studies.claims import at_most, claims_json

OPENS_WITHIN_SECONDS = 5
MEMORY_RATIO = 1.2
ONE_MORE_RATIO = 0.3
OPENED_TIMES = 3


def open_and_say(folder: Path) -> None:
    """Open the store as the service does; print how long it took, and what this process grew by.

    Ends when standard input does.
    """
    before, private_before = resident_bytes(), resident_bytes("Private_Dirty")
    start = time.perf_counter()
    registry = TaskRegistry(
        Store.open(folder),
        ThreadPoolExecutor(1),
        Telemetry(CollectorRegistry()),
        shared=SharedArrays(Path("/dev/shm")),  # noqa: S108 as the service has it
    )
    registry.load_all()
    measured = {
        "tasks": len(registry),
        "seconds": time.perf_counter() - start,
        "memory_bytes": resident_bytes() - before,
        "private_bytes": resident_bytes("Private_Dirty") - private_before,
    }
    print(json.dumps(measured), flush=True)
    sys.stdin.read()


@contextmanager
def opened_anew(folder: Path) -> Iterator[dict[str, float]]:
    """What a fresh process says that opens it, and has it open meanwhile."""
    with subprocess.Popen(  # noqa: S603 - this program itself
        [sys.executable, "-m", "benchmarks.many_tasks", "--folder", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())


def resident_bytes(kind: str = "Rss") -> int:
    """Of this process."""
    status = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(status.partition(f"{kind}:")[2].split()[0])


def main(
    tasks: Annotated[int, typer.Option(min=1)] = 100_000,
    folder: Annotated[Path | None, typer.Option(help="Only open the store that is there.")] = None,
) -> None:
    """Build, open in a fresh process and print; exit 1 where a claim does not hold."""
    if folder is not None:
        open_and_say(folder)
        return
    network = random_network("lenet-300-100")
    with tempfile.TemporaryDirectory(prefix="impress-many-") as name:
        start = time.perf_counter()
        store = Store.create(Path(name) / "store", network)
        store.publish_many(random_tasks(network, tasks, "fp16"))
        wrote_s = time.perf_counter() - start
        content_bytes = sum(len(content) for _, content in store.log.contents())
        times = []
        for _ in range(OPENED_TIMES):
            with opened_anew(Path(name) / "store") as measured:
                times.append(measured)
        with opened_anew(Path(name) / "store"), opened_anew(Path(name) / "store") as one_more:
            times.append(one_more)
    seconds = [measured["seconds"] for measured in times]
    memory_bytes = max(measured["memory_bytes"] for measured in times)
    print(
        f"{times[0]['tasks']:,} tasks, {content_bytes:,} bytes: written in {wrote_s:.1f} s, opened "
        f"in {min(seconds):.2f} to {max(seconds):.2f} s, {memory_bytes:,} bytes in memory; "
        f"of them one more process has {one_more['private_bytes']:,} for itself"
    )
    ratio = memory_bytes / content_bytes
    added = one_more["private_bytes"] / content_bytes
    one_more_claim = f"memory of {tasks:,} tasks that one more process adds"
    claims = [
        at_most(f"opening {tasks:,} tasks", round(min(seconds), 2), OPENS_WITHIN_SECONDS, "s"),
        at_most(f"memory of {tasks:,} tasks", round(ratio, 3), MEMORY_RATIO, "times their bytes"),
        at_most(one_more_claim, round(added, 3), ONE_MORE_RATIO, "times their bytes"),
    ]
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


if __name__ == "__main__":
    typer.run(main)
