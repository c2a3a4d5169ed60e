"""A real HTTP server that answers as a script says, and remembers what it was asked."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Say:
    """An answer; JSON unless its headers say otherwise."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Break:
    """The connection is reset where an answer should be."""


@dataclass(frozen=True)
class Hang:
    """Nothing comes, until the server is closed."""


Step = Say | Break | Hang


def problem(status: int, detail: str = "because", **headers: str) -> Say:
    """A refusal as the service has it."""
    document = {"type": "about:blank", "title": "Title", "status": status, "detail": detail}
    body = document | {"instance": "/", "request_id": "r-1", "error": f"Title: {detail}"}
    content_type = {"Content-Type": "application/problem+json"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Say(status, body, content_type | given)


def tensors(values: NDArray[np.float32], labels: Sequence[str]) -> Say:
    """Probabilities `[n, C]` and labels as the service has them, in binary."""
    texts = [label.encode() for label in labels]
    parts = {
        "probabilities": values.astype("<f4").tobytes(),
        "labels": b"".join(len(text).to_bytes(4, "little") + text for text in texts),
    }
    described = {"probabilities": ("FP32", values.shape), "labels": ("BYTES", (len(labels),))}
    outputs = [
        {
            "name": name,
            "datatype": described[name][0],
            "shape": described[name][1],
            "parameters": {"binary_data_size": len(part)},
        }
        for name, part in parts.items()
    ]
    head = json.dumps({"model_name": "t", "model_version": "v", "outputs": outputs}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return Say(200, b"".join((head, *parts.values())), length)


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


class ScriptedServer(ThreadingHTTPServer):
    """Takes the script's steps in turn; the last one again and again."""

    daemon_threads = True

    def __init__(self, script: Sequence[Step]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self._script = list(script)

    def next_step(self) -> Step:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body, time.monotonic())
        self.server.asked.append(asked)
        match self.server.next_step():
            case Say() as said:
                self.send_response(said.status)
                headers = {"Content-Type": "application/json"} | dict(said.headers)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said.content)))
                self.end_headers()
                self.wfile.write(said.content)
            case Break():
                reset = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                self.close_connection = True
            case Hang():
                self.server.closing.wait(30)
                self.close_connection = True

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def scripted(*script: Step) -> Iterator[ScriptedServer]:
    """The server, for as long as the block."""
    server = ScriptedServer(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
