"""Who is compared, how each is started, and what a request and an answer look like to it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.http_overhead import request_bytes
from benchmarks.peers.lenet import NAME_LENGTH, Floats

_OCTETS = "Content-Type: application/octet-stream"
_JSON = "Content-Type: application/json"
ANSWER_BYTES = 40
"""Ten probabilities."""


@dataclass(frozen=True)
class Wire:
    """A request of a task's name and one row `[784]`, and the probabilities in an answer's body."""

    request: Callable[[str, Floats], bytes]
    probabilities: Callable[[bytes], Floats]


def _from_octets(body: bytes) -> Floats:
    return np.frombuffer(body, "<f4")


def _predict(task: str, row: Floats, *headers: str) -> bytes:
    return request_bytes(f"/predict?task={task}", row.tobytes(), _OCTETS, *headers)


def _short(row: Floats) -> list[float]:
    return [float(str(value)) for value in row]  # as few digits as give the same float32


def _v2_request(task: str, row: Floats) -> bytes:
    tensor = {"name": "rows", "shape": [1, len(row)], "datatype": "FP32", "data": _short(row)}
    body = json.dumps({"parameters": {"task": task}, "inputs": [tensor]}).encode()
    return request_bytes("/v2/models/lenet/infer", body, _JSON)


RAW = Wire(_predict, _from_octets)
PREDICT = Wire(
    lambda task, row: request_bytes(
        f"/v1/predict?task={task}",
        row.tobytes(),
        _OCTETS,
        "Accept: application/octet-stream",
    ),
    _from_octets,
)
NAME_IN_BODY = Wire(
    lambda task, row: request_bytes(
        "/predict", task.ljust(NAME_LENGTH).encode() + row.tobytes(), _OCTETS
    ),
    _from_octets,
)
PYDANTIC = Wire(
    lambda task, row: request_bytes(
        "/predict", json.dumps({"task": task, "row": _short(row)}).encode(), _JSON
    ),
    lambda body: np.array(json.loads(body)["probabilities"], np.float32),
)
V2 = Wire(
    _v2_request,
    lambda body: np.array(json.loads(body)["outputs"][0]["data"], np.float32),
)
MULTIPLEXED = Wire(
    lambda task, row: _predict(task, row, f"serve_multiplexed_model_id: {task}"), _from_octets
)


@dataclass(frozen=True)
class Peer:
    """A server. In its arguments and settings stand places, such as `{port}`, to be filled."""

    name: str
    environment: str | None
    """The name of its requirements; None is the environment of this program."""
    arguments: tuple[str, ...]
    wire: Wire
    settings: tuple[tuple[str, str], ...] = ()
    """Environment variables."""
    computes: bool = True
    listens_everywhere: bool = False

    @property
    def requirements(self) -> Path:
        """The file that its environment is made from."""
        return Path(__file__).parent / "requirements" / f"{self.environment}.txt"


def _uvicorn(application: str) -> tuple[str, ...]:
    quiet = ("--no-access-log", "--log-level=warning", "--no-server-header")
    return ("-m", "uvicorn", application, "--port={port}", *quiet)


ECHO = Peer(
    "bare Starlette echo",
    "fastapi",
    _uvicorn("benchmarks.wire.bare_app:app"),
    RAW,
    settings=(("ANSWER_BYTES", str(ANSWER_BYTES)),),
    computes=False,
)
_MOSEC = ("-m", "benchmarks.peers.with_mosec", "--address=127.0.0.1", "--port={port}")
MOSEC = (
    Peer("mosec", "mosec", _MOSEC, NAME_IN_BODY, settings=(("PEERS_BATCH", "1"),)),
    Peer("mosec, batches of 32", "mosec", _MOSEC, NAME_IN_BODY, settings=(("PEERS_BATCH", "32"),)),
)
SERVICE = Peer(
    "this service",
    None,
    ("-m", "service"),
    PREDICT,
    settings=(("STORE", "{store}"), ("PORT", "{port}"), ("CACHE_BYTES", "{cache_bytes}")),
)
_MLSERVER = ("-m", "benchmarks.peers.with_mlserver", "{port}", "{second_port}")
RIVALS = (ECHO, *MOSEC)
"""What the service is measured by, in turns with it: they take next to nothing while idle."""
PEERS = (
    *RIVALS,
    Peer("FastAPI, careful", "fastapi", _uvicorn("benchmarks.peers.careful_fastapi:app"), RAW),
    Peer("FastAPI, plain", "fastapi", _uvicorn("benchmarks.peers.plain_fastapi:app"), PYDANTIC),
    Peer("LitServe", "litserve", ("-m", "benchmarks.peers.with_litserve", "{port}"), NAME_IN_BODY),
    Peer("MLServer, raw handler", "mlserver", _MLSERVER, RAW),
    Peer("MLServer, V2 in JSON", "mlserver", _MLSERVER, V2),
    Peer(
        "Ray Serve, multiplexed",
        "ray",
        ("-m", "benchmarks.peers.with_ray_serve", "{port}", "{folder}"),
        MULTIPLEXED,
        settings=(("RAY_USAGE_STATS_ENABLED", "0"),),
        listens_everywhere=True,
    ),
)
