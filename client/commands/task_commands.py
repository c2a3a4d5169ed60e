"""`impress task`: push, list, show and rm; `version_commands` has what concerns versions."""

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from client.commands.artifact_files import artifact_in
from client.commands.connecting import ApiKey, Json, Timeout, Url, connected
from client.commands.printing import print_columns, print_json
from client.commands.tags import NewTags, Tags
from client.connection import DEFAULT_URL
from client.errors import InvalidInput
from client.results import Pushed, Task, TaskDetails, TaskPage

app = typer.Typer(help="Upload, look at and delete tasks.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The task's name.")]

_SHOWN_HASH = 12


@app.command("push")
def push(
    files: Annotated[
        list[Path], typer.Argument(help="Task artifacts (safetensors), as impress-train makes.")
    ],
    name: Annotated[
        str | None, typer.Option(help="The task's name; the file's, without its ending.")
    ] = None,
    tag: NewTags = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Upload task artifacts; each answers from the next request on."""
    done: list[Pushed] = []
    with connected(url, api_key, timeout, as_json) as client:
        if name is not None and len(files) != 1:
            raise InvalidInput(f"--name is for one file, got {len(files)}")
        artifacts = [(name or file.stem, artifact_in(file)) for file in files]
        try:
            for task, content in artifacts:
                pushed = client.push(task, content, tag or ())
                done.append(pushed)
                if not as_json:
                    what = "new" if pushed.created else "replaced"
                    version = pushed.task.version[:_SHOWN_HASH]
                    typer.echo(f"{pushed.task.task}  {version}  {what}")
        finally:
            # What was uploaded before one was refused is uploaded.
            if as_json:
                print_json({"pushed": done})


@app.command("list")
def list_tasks(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    cursor: Annotated[str, typer.Option(help="Only names after this one.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All of them, whatever the limit.")] = False,
    tag: Tags = None,
    prefix: Annotated[str | None, typer.Option(help="Only names that begin so.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Name tasks in order, with their version, kind and tags."""
    with connected(url, api_key, timeout, as_json) as client:
        if every:
            page = TaskPage(tuple(client.tasks(tags=tag or (), prefix=prefix)))
        else:
            page = client.page(limit, cursor, tags=tag or (), prefix=prefix)
    if as_json:
        print_json(page)
        return
    print_columns([_row(task) for task in page.tasks])
    if page.next_cursor is not None:
        typer.echo(f"there are more: --cursor {page.next_cursor}, or --all", err=True)
    elif not page.tasks:
        typer.echo("no task", err=True)


@app.command("show")
def show(
    name: Name,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Say what a task is, what it was made from, and how much it was used."""
    with connected(url, api_key, timeout, as_json) as client:
        details = client.show(name)
    if as_json:
        print_json(details)
    else:
        print_columns(_lines(details))


@app.command("rm")
def remove(
    names: Annotated[list[str], typer.Argument(help="The tasks' names.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Delete tasks for good."""
    with connected(url, api_key, timeout, as_json) as client:
        if not yes:
            if as_json or not sys.stdin.isatty():
                raise InvalidInput("nobody can be asked here: say --yes")
            typer.confirm(f"Delete {', '.join(names)} for good?", abort=True)
        deleted: list[str] = []
        try:
            for name in names:
                client.delete(name)
                deleted.append(name)
                if not as_json:
                    typer.echo(f"{name}  deleted")
        finally:
            if as_json:
                print_json({"deleted": deleted})


def _row(task: Task) -> tuple[str, str, str, str]:
    return task.task, task.version[:_SHOWN_HASH], task.kind, " ".join(task.tags)


def _lines(details: TaskDetails) -> list[tuple[str, str]]:
    classes = f"{len(details.classes)}: {', '.join(islice(details.classes, 12))}"
    accuracy = details.held_out_accuracy
    return [
        ("task", details.task),
        ("version", details.version),
        ("kind", details.kind),
        ("tags", " ".join(details.tags) or "none"),
        ("classes", classes + (", ..." if len(details.classes) > 12 else "")),
        ("bytes", f"{details.artifact_bytes:,} ({details.tensor_bytes:,} of tensors)"),
        ("held-out accuracy", "not known" if accuracy is None else f"{accuracy:.3f}"),
        ("rows predicted", f"{details.rows_predicted:,} by this process"),
        *((f"made: {name}", str(value)) for name, value in details.provenance.items()),
    ]
