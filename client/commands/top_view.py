"""A service's activity as panels for the terminal."""

from collections.abc import Mapping, Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from client.activity import Activity
from client.commands.printing import printable
from client.hot_tasks import HotTask
from client.results import Readiness

# Three panels side by side and everything below each other fit a terminal of 80 x 24.
_SHOWN_TASKS = 6
_WIDTH = 26


def top_view(
    url: str, readiness: Readiness, found: Activity | None, hot: Sequence[HotTask], watched: str
) -> RenderableType:
    """Everything of one look; the head alone where the service could not be asked."""
    state = Text("ready", "green")
    if not readiness.ready:
        state = Text(f"not ready: {printable(readiness.because or 'it does not say why')}", "red")
    head = Text.assemble(url, "  ", state)
    if found is None:
        return head
    head.append(f"  {found.tasks_registered:,} tasks")
    if found.tasks_damaged:
        head.append(f"  {found.tasks_damaged} damaged", "red")
    panels = [
        _panel("requests", _requests(found)),
        _panel("time", _time(found)),
        _panel("batches", _batches(found)),
        _panel("composed weights", _cache(found)),
        _panel("inferred, in nats", _inference(found)),
        _panel("process", _process(found, readiness)),
    ]
    busiest = [(one.task, f"{one.rows_per_second:,.1f} rows/s") for one in hot[:_SHOWN_TASKS]]
    hottest = _panel(f"hot tasks{watched}", busiest or [("none was asked for", "")], None)
    return Group(head, Columns(panels), hottest)


def _panel(
    title: str, lines: Sequence[tuple[str, str]], width: int | None = _WIDTH
) -> RenderableType:
    table = Table.grid(padding=(0, 2), expand=width is not None)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in lines:
        # Names come from strangers: nothing in them is markup.
        table.add_row(Text(printable(name)), Text(printable(value)))
    return Panel(table, title=title, title_align="left", width=width, expand=width is not None)


def _requests(found: Activity) -> list[tuple[str, str]]:
    return [
        ("predictions", f"{found.predictions_per_second:,.1f}/s"),
        ("rows", f"{found.rows_per_second:,.1f}/s"),
        ("failed", f"{found.failed_per_second:,.1f}/s"),
        *_nonzero("", found.rejected_per_second),
    ]


def _time(found: Activity) -> list[tuple[str, str]]:
    return [
        ("median", _ms(found.latency_p50_ms)),
        ("p99", _ms(found.latency_p99_ms)),
        ("waited, p99", _ms(found.queue_p99_ms)),
        ("in flight", f"{found.in_flight:,}"),
    ]


def _batches(found: Activity) -> list[tuple[str, str]]:
    return [
        ("rows a batch", _number(found.rows_per_batch)),
        ("tasks a batch", _number(found.tasks_per_batch)),
        ("rows waiting", f"{found.queue_rows:,}"),
        *_nonzero("rows ", found.rows_by_path),
    ]


def _cache(found: Activity) -> list[tuple[str, str]]:
    hits = [
        (f"hits: {tier}", "-" if share is None else f"{share:.0%}")
        for tier, share in found.cache_hit_share.items()
    ]
    kept = ("kept", f"{found.cache_bytes / 2**20:,.1f} MiB")
    return [*hits, kept, ("dropped", f"{found.evictions_per_second:,.1f}/s")]


def _inference(found: Activity) -> list[tuple[str, str]]:
    return [
        *((name, f"{rate:,.1f}/s") for name, rate in found.inferred_per_second.items()),
        ("entropy, mean", _nats(found.entropy_mean_nats)),
        ("entropy, p90", _nats(found.entropy_p90_nats)),
    ]


def _process(found: Activity, readiness: Readiness) -> list[tuple[str, str]]:
    return [
        ("cores busy", f"{found.processor_share:.2f}"),
        ("memory", f"{found.resident_bytes / 2**20:,.0f} MiB"),
        ("behind store", f"{found.registry_lag_seconds:.1f} s"),
        ("redis", "none" if readiness.redis == "not configured" else readiness.redis or "-"),
    ]


def _nonzero(prefix: str, rates: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(f"{prefix}{name}", f"{rate:,.1f}/s") for name, rate in rates.items() if rate]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
