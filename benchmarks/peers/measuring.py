"""One server at a time: start it, hold its answers against the reference, put it under load."""

import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.http_overhead import free_port
from benchmarks.peers.environments import is_made, python_of
from benchmarks.peers.lenet import FOLDER, KEPT
from benchmarks.peers.roster import Peer
from benchmarks.peers.running import (
    DidNotStart,
    answer_of,
    load,
    processor_seconds,
    running,
    wait_for,
)
from benchmarks.peers.written import Written

_TURNS = 5
_MOST_DIFFERENCE = 2e-3
"""Of a probability."""


@dataclass(frozen=True)
class Effort:
    """How long each server is asked, by how many connections, and on which cores."""

    seconds: float
    warm_up: float
    connections: int
    server_core: int
    load_core: int

    def asked(
        self, port: int, request: bytes, tasks: Path, rate: float | None = None
    ) -> dict[str, Any]:
        """What the load measured on a server."""
        return load(
            port,
            request,
            tasks,
            self.load_core,
            seconds=self.seconds,
            warm_up=self.warm_up,
            connections=self.connections,
            rate=rate,
        )


@dataclass
class Measured:
    """Of one server: by workload; or why it was not measured."""

    peer: Peer
    rates: dict[str, float] = field(default_factory=dict)
    """Requests a second at saturation."""
    processor_us: dict[str, float] = field(default_factory=dict)
    """Of the server's processes for one request, at saturation."""
    latencies_ms: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Median and 99th percentile at half of the rate before, of each turn; of the service alone."""
    load_busy: float = 0
    """The most of its core that the load took, of 1."""
    load_ceiling: float = 0
    """Requests that the load would send in a second of its own processor time."""
    why_not: str | None = None


def measure(peer: Peer, written: Written, effort: Effort, half_load: bool, log: Path) -> Measured:
    """All workloads; with `half_load` each again at half of its rate, at random moments.

    That in several short turns, with the rate found anew in each: a neighbour's ten milliseconds
    are the 99th percentile of a second, and a machine does not stay as quick as it was.
    """
    measured = Measured(peer)
    if not is_made(peer):
        measured.why_not = "its environment is not made; see --install"
        return measured
    places = {
        "port": str(free_port()),
        "second_port": str(free_port()),
        "folder": str(log.parent),
        "store": str(written.store),
        "cache_bytes": str(KEPT * written.composed_bytes),
    }
    command = [str(python_of(peer)), *(part.format(**places) for part in peer.arguments)]
    settings = {name: value.format(**places) for name, value in peer.settings}
    settings |= {FOLDER: str(written.arrays)}
    port = int(places["port"])
    try:
        with running(command, log, effort.server_core, settings) as process:
            check = written.checks[0]
            wait_for(process, port, peer.wire.request(check.task, check.row), log)
            if peer.computes:
                _hold_against_reference(peer, port, written)
            for workload, tasks in written.workloads.items():
                before = processor_seconds(process)
                answers = _saturate(measured, port, workload, tasks, written, effort)
                used = processor_seconds(process) - before
                measured.processor_us[workload] = 1e6 * used / answers
                if half_load:
                    _at_half(measured, port, workload, tasks, written, effort)
    except (DidNotStart, OSError, ValueError) as error:
        measured.why_not = str(error)
    return measured


def _hold_against_reference(peer: Peer, port: int, written: Written) -> None:
    for check in written.checks:
        status, body = answer_of(port, peer.wire.request(check.task, check.row))
        if status != 200:
            raise ValueError(f"{check.task}: {status} {body[:200]!r}")
        difference = np.abs(peer.wire.probabilities(body) - check.probabilities).max()
        if not difference <= _MOST_DIFFERENCE:
            raise ValueError(f"{check.task}: probabilities {difference:.2g} from the reference's")


def _saturate(
    measured: Measured, port: int, workload: str, tasks: Path, written: Written, effort: Effort
) -> int:
    """All answers, those before the measurement too."""
    request = _first_request(measured.peer, tasks, written)
    found = effort.asked(port, request, tasks)
    measured.rates[workload] = found["answers"] / found["seconds"]
    busy = found["client_cpu_seconds"] / found["seconds"]
    measured.load_busy = max(measured.load_busy, busy)
    measured.load_ceiling = max(measured.load_ceiling, measured.rates[workload] / busy)
    return int(found["answers_with_warm_up"])


def _at_half(
    measured: Measured, port: int, workload: str, tasks: Path, written: Written, effort: Effort
) -> None:
    request = _first_request(measured.peer, tasks, written)
    short = replace(effort, seconds=effort.seconds / 2)
    for _ in range(_TURNS):
        saturated = short.asked(port, request, tasks)
        rate = saturated["answers"] / saturated["seconds"] / 2
        quantiles = statistics.quantiles(
            short.asked(port, request, tasks, rate)["latencies"], n=100
        )
        found = 1e3 * quantiles[49], 1e3 * quantiles[98]
        measured.latencies_ms.setdefault(workload, []).append(found)


def _first_request(peer: Peer, tasks: Path, written: Written) -> bytes:
    first = tasks.read_text().partition("\n")[0]
    return peer.wire.request(first, written.checks[0].row)
