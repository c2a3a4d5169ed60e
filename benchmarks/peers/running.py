"""Starts a server on one core and asks it; whatever happens, nothing of it is left running.

Where the kernel lets it, all of it happens in a network namespace that has loopback alone, and each
server is in a namespace of processes that ends with it.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_ON_LOOPBACK_ALONE = "BENCHMARK_ON_LOOPBACK_ALONE"
_OWN_PROCESSES = "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"
_ENDS_WITH_US = "setpriv", "--pdeathsig", "KILL"
_STARTS_WITHIN_SECONDS = 60
_STOPS_WITHIN_SECONDS = 8
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


class DidNotStart(Exception):
    """A server ended, or did not answer in time; with the end of what it said."""


def on_loopback_alone(module: str) -> bool:
    """Begin this program, `module`, again where loopback is the only interface; False: cannot."""
    if os.environ.get(_ON_LOOPBACK_ALONE):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        return True
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    unshare = ("unshare", "--net", *as_root)
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    tried = subprocess.run([*unshare, *_OWN_PROCESSES, "true"], check=False, capture_output=True)  # noqa: S603 - these very words
    if tried.returncode:
        return False
    again = [*unshare, sys.executable, "-m", module, *sys.argv[1:]]
    os.execvpe(unshare[0], again, os.environ | {_ON_LOOPBACK_ALONE: "1"})  # noqa: S606 - the same


@contextmanager
def running(
    command: list[str], log: Path, core: int, settings: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, until the block ends."""
    if os.environ.get(_ON_LOOPBACK_ALONE):
        command = [*_ENDS_WITH_US, *_OWN_PROCESSES, *command]
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | ONE_THREAD | settings,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(os.sched_setaffinity, 0, {core}),
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOPS_WITHIN_SECONDS)
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def answer_of(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


def wait_for(process: subprocess.Popen[bytes], port: int, request: bytes, log: Path) -> None:
    """Until it answers with 200. Raises `DidNotStart`."""
    deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            status, body = answer_of(port, request)
            if status == 200:
                return
            last = f"{status} {body[:200]!r}"
        except (OSError, HTTPException) as error:
            last = repr(error)
        if process.poll() is not None:
            raise DidNotStart(f"ended with {process.returncode}: {end_of(log)}")
        time.sleep(0.1)
    raise DidNotStart(f"{last} after {_STARTS_WITHIN_SECONDS} s: {end_of(log)}")


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """What a server and every process that it started took so far, but for those that ended."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            number = int(stat.parent.name)
            parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])
    own, found = [process.pid], 0
    while own:
        number = own.pop()
        found += ticks.get(number, 0)
        own += [child for child, parent in parents.items() if parent == number]
    return found / os.sysconf("SC_CLK_TCK")


def end_of(log: Path) -> str:
    """The last that a server said, in one line."""
    return " / ".join(log.read_text(errors="replace").split("\n")[-4:]).strip(" /")[-400:]


def load(
    port: int,
    request: bytes,
    tasks: Path,
    core: int,
    *,
    seconds: float,
    warm_up: float,
    connections: int,
    rate: float | None = None,
) -> dict[str, Any]:
    """What `keep_alive_load` measured, from a process on a core of its own."""
    program = ROOT / "benchmarks" / "wire" / "keep_alive_load.py"
    arguments = [port, seconds, connections, "--tasks", tasks, "--warm-up", warm_up]
    if rate is not None:
        arguments += ["--rate", rate]
    ended = subprocess.run(  # noqa: S603 - our own program, and numbers
        [sys.executable, str(program), *map(str, arguments)],
        input=request,
        capture_output=True,
        timeout=seconds + warm_up + 60,
        check=False,
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),
    )
    if ended.returncode:
        raise DidNotStart(f"under load: {ended.stderr.decode(errors='replace')[-300:].strip()}")
    measured: dict[str, Any] = json.loads(ended.stdout)
    return measured
