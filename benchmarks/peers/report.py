"""The table of one bank, and what is claimed of it."""

import statistics
from collections.abc import Sequence

from benchmarks.peers.measuring import Measured
from benchmarks.peers.roster import MOSEC, Peer
from training.studies.claims import Claim, at_least, at_most

LEAST_OVER_MOSEC = {"Zipf": 2.0, "uniform": 3.0}
LEAST_HOT_RATE = 4650
MOST_P99_MS = 5


def table(workloads: Sequence[str], ours: Measured, others: Sequence[Measured]) -> str:
    """Requests a second, how many times as many the service answers, and processor time of each."""
    width = 28
    lines = [" " * width + "".join(f"{workload:>{width}}" for workload in workloads)]
    for one in (ours, *others):
        cells = "".join(f"{_cell(ours, one, workload):>{width}}" for workload in workloads)
        said = f"  not measured: {one.why_not}" if one.why_not else ""
        lines.append(f"{one.peer.name:{width}}{cells if one.rates else ''}{said}")
    for workload in ours.latencies_ms:
        for one in (ours, *others):
            if turns := one.latencies_ms.get(workload):
                median = statistics.median(median for median, _ in turns)
                every = sorted(p99 for _, p99 in turns)
                lines.append(
                    f"{one.peer.name}, {workload}, at half of the service's rate: median "
                    f"{median:.2f} ms, p99 {statistics.median(every):.2f} ms "
                    f"({every[0]:.2f} to {every[-1]:.2f} by turn)"
                )
    return "\n".join(lines)


def _cell(ours: Measured, one: Measured, workload: str) -> str:
    if workload not in one.rates:
        return "-"
    ratio = None if one is ours else _ratio(ours, one, workload)
    times = "" if ratio is None else f" ({ratio:.2f})"
    rate = statistics.median(one.rates[workload])
    return f"{rate:,.0f}{times} {statistics.median(one.processor_us[workload]):,.0f} us"


def _ratio(ours: Measured, one: Measured, workload: str) -> float | None:
    """The median of each turn's ratio, of those asked in turns; else the ratio of medians."""
    own, theirs = ours.rates.get(workload), one.rates.get(workload)
    if own is None or theirs is None:
        return None
    if len(own) == len(theirs):
        return statistics.median(rate / their for rate, their in zip(own, theirs, strict=True))
    return statistics.median(own) / statistics.median(theirs)


def claims_of(bank: str, ours: Measured, others: Sequence[Measured]) -> list[Claim]:
    """Over mosec, with batches and without, and of the service alone.

    What was not measured does not hold.
    """
    claims = []
    for kind, bound in LEAST_OVER_MOSEC.items():
        for peer in MOSEC:
            rival, workload = _of(peer, others), _workload(ours, kind)
            ratio = _ratio(ours, rival, workload) if rival and workload else None
            claim = f"{bank}, {kind}: requests a second over those of {peer.name}"
            claims.append(
                at_least(claim, None if ratio is None else round(ratio, 2), bound, "times")
            )
    p99s = [statistics.median(p99 for _, p99 in turns) for turns in ours.latencies_ms.values()]
    slowest = max(p99s, default=None)
    hot = ours.rates.get("one hot task")
    return [
        *claims,
        at_least(
            f"{bank}, one hot task: requests a second",
            None if hot is None else round(statistics.median(hot)),
            LEAST_HOT_RATE,
            "requests a second",
        ),
        at_most(
            f"{bank}: p99 at half of the service's own saturation, median turn, worst workload",
            None if slowest is None else round(slowest, 2),
            MOST_P99_MS,
            "ms",
        ),
    ]


def _of(peer: Peer, others: Sequence[Measured]) -> Measured | None:
    return next((one for one in others if one.peer is peer), None)


def _workload(measured: Measured, kind: str) -> str | None:
    return next((name for name in measured.rates if name.startswith(kind)), None)
