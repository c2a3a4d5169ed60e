"""`impress top`: what a service does right now, looked at again and again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from client.activity import Activity, activity
from client.blocking import Client
from client.commands.connecting import ApiKey, Json, Timeout, Url, connected
from client.commands.printing import print_json
from client.commands.top_view import top_view
from client.connection import DEFAULT_URL
from client.errors import ClientError
from client.hot_tasks import HotTask, HotTasks
from client.metric_samples import samples_of
from client.results import Readiness
from client.retries import Retries


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw, since the one before; no activity where the service was away."""

    readiness: Readiness
    activity: Activity | None
    hot_tasks: tuple[HotTask, ...]


def top(
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between looks.")] = 2,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many looks; else with Ctrl-C.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="A task to watch; may be repeated.")
    ] = None,
    tasks: Annotated[
        int, typer.Option(min=0, max=1000, help="Else the first so many tasks by name.")
    ] = 200,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 5,
    as_json: Json = False,
) -> None:
    """Show what a service does: rate, latency, batches, cache, task inference, hot tasks.

    How much a task is used is asked for those that are watched, in one request. With --json a line
    a look.
    """
    names = tuple(task or ())
    console = Console()
    with connected(url, api_key, timeout, as_json, Retries(attempts=1)) as client:
        looks = _looks(client, HotTasks(client, tasks, names), interval, count)
        if as_json:
            for look in looks:
                print_json(look, in_one_line=True)
            return
        views = (_view(look, url, names, tasks) for look in looks)
        if not console.is_terminal:
            for view in views:
                console.print(view)
            return
        with Live(console=console, screen=count is None, auto_refresh=False) as live:
            for view in views:
                live.update(view, refresh=True)


def _looks(
    client: Client, hot_tasks: HotTasks, interval: float, count: int | None
) -> Iterator[Look]:
    samples, looked = samples_of(client.metrics()), time.monotonic()
    hot_tasks.look()
    seen = 0
    while count is None or seen < count:
        time.sleep(interval)
        try:
            now, before, since = samples_of(client.metrics()), samples, looked
            samples, looked = now, time.monotonic()
            found = activity(before, now, looked - since)
            yield Look(client.ready(), found, hot_tasks.look())
        except ClientError as error:  # who watches a restart wants to see its end
            yield Look(Readiness(ready=False, because=str(error)), None, ())
        seen += 1


def _view(look: Look, url: str, names: tuple[str, ...], most: int) -> RenderableType:
    registered = 0 if look.activity is None else look.activity.tasks_registered
    watched = f" of the first {most} by name" if registered > most else ""
    if names:
        watched = f" of {len(names)} watched"
    return top_view(url, look.readiness, look.activity, look.hot_tasks, watched)
