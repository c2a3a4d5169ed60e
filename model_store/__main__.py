"""`python -m model_store`: verify, list or compact a store from the command line."""

from pathlib import Path
from typing import Annotated

import typer

from model_store.errors import StoreError
from model_store.kept_versions import KEPT_VERSIONS
from model_store.locations import location
from model_store.store import Store
from model_store.verify import verify_store

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Folder = Annotated[Path, typer.Argument(help="The store's folder, or s3://bucket/prefix.")]


@app.command()
def verify(store: Folder) -> None:
    """Read every file of the store and name each one that is damaged; exit 1 where one is."""
    try:
        verification = verify_store(store)
    except (StoreError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    for finding in verification.findings:
        typer.echo(f"{location(store)}/{finding.path}: {finding.problem}")
    typer.echo(f"{verification.tasks} tasks whole, {len(verification.findings)} findings")
    raise typer.Exit(1 if verification.findings else 0)


@app.command()
def compact(
    store: Folder,
    versions: Annotated[
        int, typer.Option(min=1, max=KEPT_VERSIONS, help="How many of each task stay.")
    ] = KEPT_VERSIONS,
) -> None:
    """Drop deleted tasks and surplus versions from the disk, whoever reads or writes meanwhile.

    A task keeps its current version and those before it; a canary's version always stays.
    """
    try:
        opened = Store.open(store)
        before = opened.log.whole_bytes
        dropped = opened.unreadable()
        opened.compact(versions)
    except (StoreError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    for where, problem in dropped.items():
        typer.echo(f"dropped: {location(store)}/{where}: {problem}")
    tasks, after = len(opened.task_ids()), opened.log.whole_bytes
    typer.echo(f"{tasks} tasks in {after} bytes, {before} before")


@app.command("list")
def list_tasks(store: Folder) -> None:
    """Name every published task with its content hash, kind and bytes."""
    try:
        opened = Store.open(store)
        for task_id in opened.task_ids():
            artifact = opened.load(task_id)
            size = len(artifact.content)
            typer.echo(f"{task_id}\t{artifact.content_hash[:12]}\t{artifact.kind}\t{size} bytes")
    except (StoreError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
