"""`impress task`: validate, warm, versions, rollback and canary."""

from pathlib import Path
from typing import Annotated

import typer

from client.commands.artifact_files import artifact_in
from client.commands.connecting import FOUND_FAULT, ApiKey, Json, Timeout, Url, connected
from client.commands.printing import print_columns, print_json, printable
from client.connection import DEFAULT_URL
from client.errors import InvalidInput
from client.results import Trial, Version, Warmth

Name = Annotated[str, typer.Argument(help="The task's name.")]
VersionName = Annotated[str, typer.Argument(help="A version's content hash, or its beginning.")]


def add_version_commands(app: typer.Typer) -> None:
    """Add them to the commands about tasks."""
    app.command("validate")(validate)
    app.command("warm")(warm)
    app.command("versions")(versions)
    app.command("rollback")(rollback)
    app.command("canary")(canary)


def validate(
    files: Annotated[list[Path], typer.Argument(help="Task artifacts (safetensors).")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Say everything that keeps artifacts from being pushed; changes nothing."""
    trials: dict[str, Trial] = {}
    with connected(url, api_key, timeout, as_json) as client:
        for file in files:
            trials[str(file)] = client.validate(file.stem, artifact_in(file))
    if as_json:
        print_json(trials)
    for name, trial in () if as_json else trials.items():
        typer.echo(f"{name}  {f'good, {trial.version}' if trial.valid else 'cannot serve'}")
        for problem in trial.problems:
            typer.echo(f"  {printable(problem)}")
    if not all(trial.valid for trial in trials.values()):
        raise typer.Exit(FOUND_FAULT)


def warm(
    names: Annotated[list[str], typer.Argument(help="The tasks' names.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Compose tasks' weights before they are asked for."""
    done: list[Warmth] = []
    with connected(url, api_key, timeout, as_json) as client:
        for name in names:
            done.append(client.warm(name))
            if not as_json:
                typer.echo(f"{name}  {'at hand' if done[-1].composed else 'not kept'}")
    if as_json:
        print_json({"warmed": done})


def versions(
    name: Name,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Name a task's versions, the one that answers last."""
    with connected(url, api_key, timeout, as_json) as client:
        found = client.versions(name)
    if as_json:
        print_json({"task": name, "versions": found})
    else:
        print_columns([(one.version, _standing(one)) for one in found])


def rollback(
    name: Name,
    version: Annotated[
        str | None, typer.Argument(help="Its hash or the beginning; the one before the live one.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Let an earlier version of a task answer again."""
    with connected(url, api_key, timeout, as_json) as client:
        whole = None if version is None else _whole(client.versions(name), version)
        moved = client.rollback(name, whole)
    if as_json:
        print_json(moved)
    else:
        typer.echo(f"{name}  {moved.version}  live")


def canary(
    name: Name,
    version: VersionName,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the task's requests; 0 ends the canary.")
    ],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Let a version answer a share of a task's requests."""
    with connected(url, api_key, timeout, as_json) as client:
        whole = _whole(client.versions(name), version)
        if share:
            client.canary(name, whole, share)
        else:
            client.end_canary(name)
    if as_json:
        print_json({"task": name, "version": whole, "share": share})
    else:
        typer.echo(f"{name}  {whole}  {share:.1%} of requests")


def _whole(found: tuple[Version, ...], beginning: str) -> str:
    fits = [one.version for one in found if one.version.startswith(beginning)]
    if len(fits) != 1:
        raise InvalidInput(f"{len(fits)} of {len(found)} versions begin with {beginning[:80]!r}")
    return fits[0]


def _standing(version: Version) -> str:
    share = "" if version.canary_share is None else f"canary, {version.canary_share:.1%}"
    return ", ".join(filter(None, ("live" if version.live else "", share)))
