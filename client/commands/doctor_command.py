"""`impress doctor`: what is wrong with a set-up, in words."""

import typer

from client.commands.connecting import AWAY, FOUND_FAULT, ApiKey, Json, Timeout, Url, connected
from client.commands.printing import print_json, printable
from client.connection import DEFAULT_URL
from client.diagnosis import diagnose
from client.findings import Finding
from client.retries import Retries

_MARKS = {"ok": ("ok", "green"), "warning": ("?", "yellow"), "wrong": ("!!", "red")}


def doctor(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 5,
    as_json: Json = False,
) -> None:
    """Say what is wrong with this set-up, and what to do: address, service, store, Redis, settings.

    Exits with 1 where something is wrong, with 4 where the service cannot be reached.
    """
    findings: list[Finding] = []
    with connected(url, api_key, timeout, as_json, Retries(attempts=1)) as client:
        for finding in diagnose(client):
            findings.append(finding)
            if not as_json:
                _print(finding)
    if as_json:
        print_json({"findings": findings})
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if any(finding.what == "reachable" for finding in wrong):
        raise typer.Exit(AWAY)
    if wrong:
        raise typer.Exit(FOUND_FAULT)


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.state]
    typer.secho(f"{mark:>2}", fg=colour, nl=False)
    typer.echo(f"  {finding.what}: {printable(finding.said)}")
    if finding.advice:
        typer.echo(f"      {finding.advice}")
