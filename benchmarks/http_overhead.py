"""What the service adds to a bare Starlette app that reads and answers as many bytes.

One worker on core 0, the client on core 1, LeNet-300-100, one row a request, one hot task. Both
servers run at once and are asked in turns, and what is claimed is the median of each turn's share;
CPU seconds are the servers' own, from /proc.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.random_tasks import IMAGES, random_network, random_tasks
from model_store.store import Store
from training.studies.claims import at_least, claims_json

LEAST_SHARE = 0.6
"""Of the bare app's requests a second."""

_PARTS = Path(__file__).parent / "wire"
_BACKBONE = "lenet-300-100"
_ROW_LENGTH = IMAGES[_BACKBONE].row_length


def request_bytes(path: str, body: bytes, *headers: str) -> bytes:
    """A request as it goes over the wire."""
    head = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *headers, f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def requests(task: str) -> dict[str, bytes]:
    """Both ways to send and get raw floats."""
    row = np.random.default_rng(0).random(_ROW_LENGTH, dtype=np.float32).astype("<f4").tobytes()
    tensor = {"name": "inputs", "shape": [1, _ROW_LENGTH], "datatype": "FP32"}
    header = {
        "inputs": [tensor | {"parameters": {"binary_data_size": len(row)}}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    encoded = json.dumps(header).encode()
    octets = "Content-Type: application/octet-stream"
    return {
        "raw float32": request_bytes(
            f"/v1/predict?task={task}", row, octets, "Accept: application/octet-stream"
        ),
        "OIP binary": request_bytes(
            f"/v2/models/{task}/infer",
            encoded + row,
            octets,
            f"Inference-Header-Content-Length: {len(encoded)}",
        ),
    }


@dataclass
class Server:
    """A process that answers on a port, and what was measured of it."""

    process: subprocess.Popen[bytes]
    port: int
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def measure(self, request: bytes, seconds: float, connections: int) -> int:
        """Ask for `seconds`, note requests a second and CPU a request; the answer's bytes."""
        load = [sys.executable, str(_PARTS / "keep_alive_load.py")]
        before = self.cpu_seconds()
        ended = subprocess.run(  # noqa: S603 our own program, and numbers
            [*load, str(self.port), str(seconds), str(connections)],
            input=request,
            stdout=subprocess.PIPE,
            check=True,
            preexec_fn=partial(os.sched_setaffinity, 0, {1}),
        )
        used = self.cpu_seconds() - before
        measured = json.loads(ended.stdout)
        self.rates.append(measured["answers"] / measured["seconds"])
        self.cpu_us.append(used / measured["answers_with_warm_up"] * 1e6)
        return int(measured["body_bytes"])


@contextmanager
def serving(arguments: list[str], port: int, **settings: str) -> Iterator[Server]:
    """A server on core 0, from when it takes connections until the block ends."""
    process = subprocess.Popen(  # noqa: S603 our own programs
        [sys.executable, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | settings,
        preexec_fn=partial(os.sched_setaffinity, 0, {0}),
    )
    try:
        deadline = time.monotonic() + 60
        while not _listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(arguments)} did not start")
            time.sleep(0.05)
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait()


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def compared(
    store: Path, request: bytes, seconds: float, turns: int, connections: int
) -> tuple[Server, Server]:
    """The service and the bare app, each asked `turns` times, in turns."""
    port, bare_port = free_port(), free_port()
    with serving(["-m", "service"], port, STORE=str(store), PORT=str(port)) as service:
        answer_bytes = service.measure(request, 0.2, connections)
        service.rates.clear()
        service.cpu_us.clear()
        uvicorn = ["-m", "uvicorn", "bare_app:app", "--app-dir", str(_PARTS), "--no-access-log"]
        bare_app = [*uvicorn, "--log-level=warning", "--no-server-header", f"--port={bare_port}"]
        with serving(bare_app, bare_port, ANSWER_BYTES=str(answer_bytes)) as bare:
            for turn in range(turns):
                for server in (bare, service) if turn % 2 else (service, bare):
                    assert server.measure(request, seconds, connections) == answer_bytes
    return service, bare


def main(
    seconds: Annotated[float, typer.Option(min=0.1, help="Of one turn.")] = 1,
    turns: Annotated[int, typer.Option(min=1)] = 9,
    connections: Annotated[int, typer.Option(min=1, help="Each with one request.")] = 48,
) -> None:
    """Measure, print, and exit 1 where a claim does not hold."""
    claims = []
    with tempfile.TemporaryDirectory() as folder:
        store, network = Path(folder) / "store", random_network(_BACKBONE)
        ((task, artifact),) = random_tasks(network, 1)
        Store.create(store, network).publish(task, artifact)
        for name, request in requests(task).items():
            service, bare = compared(store, request, seconds, turns, connections)
            rate, bare_rate = statistics.median(service.rates), statistics.median(bare.rates)
            cpu, bare_cpu = statistics.median(service.cpu_us), statistics.median(bare.cpu_us)
            shares = [one / of for one, of in zip(service.rates, bare.rates, strict=True)]
            share = statistics.median(shares)
            print(
                f"{name}: {rate:.0f} requests/s of the bare app's {bare_rate:.0f} "
                f"({share:.2f}; {min(shares):.2f} to {max(shares):.2f} by turn); "
                f"CPU a request {cpu:.0f} us and {bare_cpu:.0f} us ({bare_cpu / cpu:.2f})"
            )
            claims.append(
                at_least(
                    f"requests a second by {name}, one row each, of a bare app's",
                    round(share, 3),
                    LEAST_SHARE,
                    "share",
                )
            )
    print(claims_json(claims).decode(), end="")
    raise typer.Exit(0 if all(claim.holds for claim in claims) else 1)


if __name__ == "__main__":
    typer.run(main)
