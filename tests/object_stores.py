"""A real S3 server (moto's), and a real proxy before it that loses, delays and spoils answers."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from obstore.store import S3Store

from model_store.object_folder import ObjectFolder
from tests.real_parts import free_port

BUCKET = "stores"
REACHED_BY = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
}

Fault = Literal["unavailable", "spoiled", "lost", "refused", "slow"]
FAULTS: tuple[Fault, ...] = ("unavailable", "spoiled", "lost", "refused", "slow")
"""Answered 503 and not done; done and answered 500; done and the connection closed without an
answer; closed and not done; done, and answered after the client gave up."""

PATIENCE_SECONDS = 0.5
"""How long clients wait for an answer here."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Its endpoint; it has one bucket and forgets everything at the end."""
    port = free_port()
    server = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            assert time.monotonic() < deadline, "moto's server did not start within a minute"
            time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("PUT", f"/{BUCKET}")
        assert connection.getresponse().status == 200
        connection.close()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def s3_at(endpoint: str, prefix: str, seconds: float = 20) -> S3Store:
    """What is below the prefix, by way of that endpoint, with little patience."""
    return S3Store(
        BUCKET,
        prefix=prefix,
        endpoint=endpoint,
        access_key_id=REACHED_BY["AWS_ACCESS_KEY_ID"],
        secret_access_key=REACHED_BY["AWS_SECRET_ACCESS_KEY"],
        region=REACHED_BY["AWS_REGION"],
        client_options={"allow_http": True, "timeout": timedelta(seconds=seconds)},
        retry_config={
            "max_retries": 2,
            "backoff": {
                "init_backoff": timedelta(milliseconds=1),
                "max_backoff": timedelta(milliseconds=5),
            },
        },
    )


def objects_at(endpoint: str, prefix: str, seconds: float = 20) -> ObjectFolder:
    """The same as files."""
    return ObjectFolder(f"s3://{BUCKET}/{prefix}", s3_at(endpoint, prefix, seconds))


class FaultyProxy:
    """Stands before a server; `plan` says for each request, by its number, what goes wrong."""

    def __init__(self, endpoint: str) -> None:
        self.requests: list[str] = []
        self.plan: Callable[[int], Fault | None] = lambda _: None
        self._behind = endpoint.removeprefix("http://")
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def pass_on(self) -> None:
                proxy._pass_on(self)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on  # noqa: N815 its names

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FaultyProxy":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def begin(self, plan: Callable[[int], Fault | None]) -> None:
        """Count requests anew, and go by that plan."""
        with self._lock:
            self.requests, self.plan = [], plan

    def _pass_on(self, caller: BaseHTTPRequestHandler) -> None:
        body = caller.rfile.read(int(caller.headers.get("Content-Length", 0)))
        with self._lock:
            fault = self.plan(len(self.requests))
            self.requests.append(f"{caller.command} {caller.path}")
        if fault == "refused":
            caller.close_connection = True
            return
        if fault == "unavailable":
            _answer(caller, 503, [], b"")
            return
        connection = http.client.HTTPConnection(self._behind, timeout=60)
        connection.request(caller.command, caller.path, body, dict(caller.headers.items()))
        found = connection.getresponse()
        data, headers = found.read(), found.getheaders()
        connection.close()
        if fault == "slow":
            time.sleep(2 * PATIENCE_SECONDS)
        if fault in ("lost", "slow"):
            caller.close_connection = True
        elif fault == "spoiled":
            _answer(caller, 500, [], b"")
        else:
            # It may have left by now, as one who is answered too late does.
            with suppress(ConnectionError):
                _answer(caller, found.status, headers, data)


def _answer(
    caller: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], data: bytes
) -> None:
    caller.send_response_only(status)
    length = str(len(data))
    for name, value in headers:
        if name.lower() == "content-length":
            length = value  # of a HEAD, which has no body
        elif name.lower() not in ("connection", "transfer-encoding"):
            caller.send_header(name, value)
    caller.send_header("Content-Length", length)
    caller.end_headers()
    caller.wfile.write(data)
