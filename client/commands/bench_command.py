"""`impress bench`: a bounded load against a running service, and how long its answers took."""

import asyncio
import random
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from client.asynchronous import AsyncClient
from client.blocking import Client
from client.commands.connecting import FOUND_FAULT, ApiKey, Json, Timeout, Url, connected
from client.commands.printing import print_columns, print_json
from client.connection import DEFAULT_URL
from client.errors import InvalidInput
from client.inputs import Picture
from client.load import Measured, closed_load, open_load
from client.results import Floats
from client.retries import Retries
from client.sample_files import read_sample

_NO_RETRIES = Retries(attempts=1)


def bench(
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long.")] = 5,
    connections: Annotated[int, typer.Option(min=1, max=256, help="At most so many at once.")] = 8,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=10_000,
            help="Requests a second, due at random moments whether or not earlier ones are "
            "answered; a request's time counts from when it was due. Left out: each connection "
            "asks again as soon as it is answered.",
        ),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="A task to ask; may be repeated.")
    ] = None,
    tasks: Annotated[
        int, typer.Option(min=1, max=1000, help="Else the first so many tasks by name, evenly.")
    ] = 1,
    rows: Annotated[int, typer.Option(min=1, max=1024, help="Rows in a request.")] = 1,
    sample: Annotated[
        Path | None, typer.Option(help="A file whose rows to send; else random numbers.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 5,
    as_json: Json = False,
) -> None:
    """Ask for predictions for a while, never again what failed; say how long the answers took.

    One process of Python sends: beyond some thousand requests a second it measures itself. Exits
    with 1 where a request failed.
    """
    with connected(url, api_key, timeout, as_json) as client:
        names = task or [one.task for one in client.page(limit=tasks).tasks]
        if not names:
            raise InvalidInput("the service has no task to ask: push one first")
        body = _rows(client, rows, sample)
        for name in names:
            client.predict(body, name)
        measured = asyncio.run(_load(client, names, body, connections, seconds, rate))
    if as_json:
        print_json(_summary(measured, names, len(body), connections, rate))
    else:
        _print(measured, len(body))
    if measured.failures or measured.never_sent:
        raise typer.Exit(FOUND_FAULT)


def _rows(client: Client, count: int, sample: Path | None) -> Floats:
    if sample is None:
        length = client.row_length()
        return np.random.default_rng(1).random((count, length), dtype=np.float32)
    inputs = read_sample(sample, client.row_length).inputs
    if isinstance(inputs, Picture) or not isinstance(inputs, np.ndarray):
        raise InvalidInput(f"{sample}: expected rows of numbers, got a picture")
    return inputs[:count]


async def _load(
    client: Client,
    names: list[str],
    body: Floats,
    connections: int,
    seconds: float,
    rate: float | None,
) -> Measured:
    mine = client.connection
    asking = AsyncClient(
        mine.url,
        api_key=mine.api_key,
        timeout_seconds=mine.timeout_seconds,
        retries=_NO_RETRIES,
    )

    async def ask() -> None:
        await asking.predict(body, random.choice(names))  # noqa: S311 spreads requests over tasks

    async with asking:
        # So that no request that counts opens a connection.
        await asyncio.gather(*(ask() for _ in range(connections)))
        if rate is None:
            return await closed_load(ask, connections, seconds)
        return await open_load(ask, connections, seconds, rate)


def _summary(
    measured: Measured, names: list[str], rows: int, connections: int, rate: float | None
) -> dict[str, object]:
    return {
        "tasks": len(names),
        "rows_per_request": rows,
        "connections": connections,
        "rate_asked": rate,
        "seconds": measured.seconds,
        "answered": len(measured.latencies_ms),
        "requests_per_second": measured.rate,
        "rows_per_second": measured.rate * rows,
        "latency_ms": measured.percentiles_ms(),
        "failed": dict(measured.failures),
        "never_sent": measured.never_sent,
    }


def _print(measured: Measured, rows: int) -> None:
    typer.echo(
        f"{len(measured.latencies_ms):,} answers in {measured.seconds:.1f} s: "
        f"{measured.rate:,.0f} requests and {measured.rate * rows:,.0f} rows a second"
    )
    print_columns(
        [(f"  {name}", f"{value:,.2f} ms") for name, value in measured.percentiles_ms().items()]
    )
    for kind, count in measured.failures.items():
        typer.echo(f"  {count:,} failed ({kind}): {measured.said[kind]}")
    if measured.never_sent:
        typer.echo(
            f"  {measured.never_sent:,} were due and never sent: too many waited for a connection"
        )
