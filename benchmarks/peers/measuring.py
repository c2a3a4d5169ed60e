"""Servers in turns: start them, hold their answers against the reference, put them under load."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from tempfile import mkdtemp
from typing import Any

import numpy as np

from benchmarks.http_overhead import free_port
from benchmarks.peers.environments import is_made, python_of
from benchmarks.peers.lenet import FOLDER, KEPT
from benchmarks.peers.roster import ECHO, SERVICE, Peer
from benchmarks.peers.running import (
    DidNotStart,
    answer_of,
    load,
    processor_seconds,
    running,
    wait_for,
)
from benchmarks.peers.written import Written

_MOST_DIFFERENCE = 2e-3
"""Of a probability."""


@dataclass(frozen=True)
class Effort:
    """How long a load lasts, by how many connections, and on which core each side is."""

    seconds: float
    warm_up: float
    connections: int
    server_core: int
    load_core: int


@dataclass
class Measured:
    """Of one server, by workload a value for each turn; or why it was not measured."""

    peer: Peer
    rates: dict[str, list[float]] = field(default_factory=dict)
    """Requests a second at saturation."""
    processor_us: dict[str, list[float]] = field(default_factory=dict)
    """Of the server's processes for one request, at saturation."""
    latencies_ms: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Median and 99th percentile at half of the rate that saturated the service in the turn."""
    load_busy: float = 0
    """The most of its core that the load took, of 1."""
    load_ceiling: float = 0
    """Requests that the load would send in a second of its own processor time."""
    why_not: str | None = None


def measure(
    peers: Sequence[Peer], written: Written, effort: Effort, turns: int, folder: Path
) -> list[Measured]:
    """All workloads in each turn, each of all servers, of which all but the one asked are idle.

    So what else the machine does hurts them alike. The service is asked again at half of the rate
    that it has just had, at random moments; and the echo too, at the same rate: what that one's
    latencies have is the machine's and the load's.
    """
    found = [Measured(peer) for peer in peers]
    with ExitStack() as stack:
        servers = []
        for one in found:
            with _noted(one):
                servers.append(stack.enter_context(_answering(one, written, effort, folder)))
        for turn in range(turns):
            for workload in written.workloads:
                for server in _well(reversed(servers) if turn % 2 else servers):
                    with _noted(server.measured):
                        server.saturate(workload)
                _at_half(servers, workload)
    return found


@contextmanager
def _noted(measured: Measured) -> Iterator[None]:
    try:
        yield
    except (DidNotStart, OSError, ValueError) as error:
        measured.why_not = str(error)


@dataclass(frozen=True)
class _Server:
    """One that runs and answers rightly."""

    measured: Measured
    port: int
    process: Popen[bytes]
    written: Written
    effort: Effort

    def saturate(self, workload: str) -> None:
        """Each connection asks again as soon as it is answered."""
        before = processor_seconds(self.process)
        found = self._asked(workload, None)
        used = processor_seconds(self.process) - before
        measured, rate = self.measured, found["answers"] / found["seconds"]
        measured.rates.setdefault(workload, []).append(rate)
        # Those before the measurement took processor time, too.
        processor_us = 1e6 * used / found["answers_with_warm_up"]
        measured.processor_us.setdefault(workload, []).append(processor_us)
        busy = found["client_cpu_seconds"] / found["seconds"]
        measured.load_busy = max(measured.load_busy, busy)
        measured.load_ceiling = max(measured.load_ceiling, rate / busy)

    def arriving(self, workload: str, rate: float) -> None:
        """Requests at random moments, so many a second."""
        cuts = statistics.quantiles(self._asked(workload, rate)["latencies"], n=100)
        found = 1e3 * cuts[49], 1e3 * cuts[98]
        self.measured.latencies_ms.setdefault(workload, []).append(found)

    def hold_against_reference(self) -> None:
        """Raise `ValueError` where it answers otherwise."""
        wire = self.measured.peer.wire
        for check in self.written.checks:
            status, body = answer_of(self.port, wire.request(check.task, check.row))
            if status != 200:
                raise ValueError(f"{check.task}: {status} {body[:200]!r}")
            difference = np.abs(wire.probabilities(body) - check.probabilities).max()
            if not difference <= _MOST_DIFFERENCE:
                raise ValueError(
                    f"{check.task}: probabilities {difference:.2g} from the reference's"
                )

    def _asked(self, workload: str, rate: float | None) -> dict[str, Any]:
        tasks = self.written.workloads[workload]
        first = tasks.read_text().partition("\n")[0]
        return load(
            self.port,
            self.measured.peer.wire.request(first, self.written.checks[0].row),
            tasks,
            self.effort.load_core,
            seconds=self.effort.seconds,
            warm_up=self.effort.warm_up,
            connections=self.effort.connections,
            rate=rate,
        )


@contextmanager
def _answering(
    measured: Measured, written: Written, effort: Effort, folder: Path
) -> Iterator[_Server]:
    """The server, until the block ends. Raises `DidNotStart`, or `ValueError` on wrong answers."""
    peer = measured.peer
    if not is_made(peer):
        raise DidNotStart("its environment is not made; see --install")
    own = Path(mkdtemp(dir=folder))  # a short name: paths of sockets have 107 bytes at most
    places = {
        "port": str(free_port()),
        "second_port": str(free_port()),
        "folder": str(own),
        "store": str(written.store),
        "cache_bytes": str(KEPT * written.composed_bytes),
    }
    command = [str(python_of(peer)), *(part.format(**places) for part in peer.arguments)]
    settings = {name: value.format(**places) for name, value in peer.settings}
    settings |= {FOLDER: str(written.arrays)}
    port, log = int(places["port"]), own / "log"
    with running(command, log, effort.server_core, settings) as process:
        check = written.checks[0]
        wait_for(process, port, peer.wire.request(check.task, check.row), log)
        server = _Server(measured, port, process, written, effort)
        if peer.computes:
            server.hold_against_reference()
        yield server


def _at_half(servers: Iterable[_Server], workload: str) -> None:
    well = {server.measured.peer: server for server in _well(servers)}
    if SERVICE in well:
        rate = well[SERVICE].measured.rates[workload][-1] / 2
        for peer in (SERVICE, ECHO):
            if peer in well:
                with _noted(well[peer].measured):
                    well[peer].arriving(workload, rate)


def _well(servers: Iterable[_Server]) -> list[_Server]:
    return [server for server in servers if server.measured.why_not is None]
