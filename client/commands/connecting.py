"""What every command begins and ends with: where the service is, and which status it exits with."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from client.blocking import Client
from client.commands.printing import printable
from client.errors import (
    ClientError,
    ConnectionBroke,
    DeadlinePassed,
    InvalidInput,
    Refused,
    ServerAway,
    Unavailable,
)
from client.retries import Retries

FOUND_FAULT = 1
WRONG_INPUT = 2
REFUSED = 3
AWAY = 4

EXIT_STATUS = (
    "Exit status: 0 done; 1 done, with a bad result (abstained, failed requests, something wrong "
    "found); 2 wrong options or files; 3 the service refused; 4 the service is away, busy beyond "
    "patience, too slow, or another server."
)

Url = Annotated[str, typer.Option("--url", envvar="IMPRESS_URL", help="Where the service is.")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="IMPRESS_API_KEY",
        help="Sent as a Bearer token. Better in the variable: other users see options.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0.001, help="Seconds for a request, all its attempts together."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs; errors too.")]


@contextmanager
def connected(
    url: str, api_key: str | None, timeout: float, as_json: bool, retries: Retries | None = None
) -> Iterator[Client]:
    """A client; what goes wrong under it is said on standard error and ends the program."""
    with reporting(as_json):
        made = Client(url, api_key=api_key, timeout_seconds=timeout, retries=retries)
        with made as client:
            yield client


@contextmanager
def reporting(as_json: bool) -> Iterator[None]:
    """Say a client's error in a sentence, and exit with its status."""
    try:
        yield
    except ClientError as error:
        if as_json:
            print(json.dumps(_described(error)), file=sys.stderr)  # noqa: T201 the program's answer
        else:
            typer.echo(f"error: {printable(str(error))}", err=True)
            if isinstance(error, Refused) and error.request_id is not None:
                typer.echo(f"request: {error.request_id}", err=True)
            if isinstance(error, ServerAway):
                typer.echo("hint: impress doctor says what is wrong", err=True)
        raise typer.Exit(status_of(error)) from error


def status_of(error: ClientError) -> int:
    """What the program exits with."""
    if isinstance(error, InvalidInput):
        return WRONG_INPUT
    patience = (Unavailable, DeadlinePassed, ServerAway, ConnectionBroke)
    if isinstance(error, Refused) and not isinstance(error, patience):
        return REFUSED
    return AWAY


def _described(error: ClientError) -> dict[str, object]:
    found: dict[str, object] = {"error": str(error), "kind": type(error).__name__}
    if isinstance(error, Refused):
        found |= {"status": error.problem.status, "request_id": error.request_id}
    return found
