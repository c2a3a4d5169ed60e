"""Latency by the rate of requests, and throughput by how many tasks they are for, as a figure.

For people to look at; nothing is claimed.
"""

import io
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.asking.over_http import Served
from benchmarks.asking.tasks_asked import BY_ZIPF, HOT, UNIFORM, Load

_SHARES = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9)
"""Of the rate that saturates the service with the hot task."""
_INK = "#22313f"
_COLOURS: Mapping[Load, str] = {HOT: "#2f6f9f", BY_ZIPF: "#c98a2b", UNIFORM: "#b5483a"}


@dataclass(frozen=True)
class Curves:
    """What was measured, as points of lines."""

    latencies_ms: dict[Load, list[tuple[float, float, float]]]
    """Rate in requests a second, median, 99th percentile."""
    throughput: list[tuple[int, float]]
    """Distinct tasks, asked for uniformly, and requests a second."""


def measured_curves(served: Served, seconds: float) -> Curves:
    """All kinds of load at a rate take turns; a kind that would be saturated is left out there."""
    throughput = []
    tasks = 1
    while tasks <= served.asked.tasks:
        throughput.append((tasks, served.saturated_by(tasks, seconds)))
        tasks *= 10
    saturating = {kind: served.saturated(kind, seconds) for kind in _COLOURS}
    latencies: dict[Load, list[tuple[float, float, float]]] = {kind: [] for kind in _COLOURS}
    for share in _SHARES:
        rate = share * saturating[HOT]
        for kind, points in latencies.items():
            if rate < 0.95 * saturating[kind]:
                found = served.arriving(kind, seconds, rate)
                cuts = statistics.quantiles(found, n=100)
                points.append((rate, 1e3 * cuts[49], 1e3 * cuts[98]))
    return Curves(latencies, throughput)


def curves_png(where: str, curves: Curves) -> bytes:
    """Both side by side; a PNG."""
    figure = Figure(figsize=(11, 4.2), layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    latency, throughput = figure.subplots(1, 2)
    figure.suptitle(f"{where}: over HTTP, one row a request, one core", color=_INK, fontsize=10)
    drawn = {kind: points for kind, points in curves.latencies_ms.items() if points}
    for kind, points in drawn.items():
        rates, medians, p99s = zip(*points, strict=True)
        latency.plot(rates, medians, "o-", color=_COLOURS[kind], markersize=3, label=kind)
        latency.plot(rates, p99s, "o:", color=_COLOURS[kind], markersize=3, linewidth=1)
    latency.set_yscale("log")
    throughput.set_xscale("log")
    for axis in (latency.yaxis, throughput.xaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,g}")
    latency.yaxis.set_minor_formatter(lambda value, _: f"{value:,g}")
    latency.legend(frameon=False, fontsize=8)
    _labelled(latency, "requests a second, at random moments", "ms: median, and dotted p99")
    counts, rates = zip(*curves.throughput, strict=True)
    throughput.plot(counts, rates, "o-", color=_COLOURS[UNIFORM], markersize=3)
    throughput.set_ylim(bottom=0)
    _labelled(throughput, "distinct tasks, asked for uniformly", "requests a second, saturated")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _labelled(axes: Axes, x: str, y: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", colors=_INK, labelsize=8)
    axes.set_xlabel(x, color=_INK, fontsize=8)
    axes.set_ylabel(y, color=_INK, fontsize=8)
