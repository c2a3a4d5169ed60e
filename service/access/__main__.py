"""`impress-keys`: write the file of keys. A secret is printed when it is made, and kept nowhere.

A service that runs takes each change over within a second, or at once on SIGHUP.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import ValidationError

from service.access.key_file import (
    KeyFile,
    KeyRecord,
    Scope,
    hash_of,
    new_secret,
    read_key_file,
    write_key_file,
)

app = typer.Typer(
    no_args_is_help=True, help=__doc__, add_completion=False, pretty_exceptions_enable=False
)

_SCOPES = " or ".join(get_args(Scope))

_File = Annotated[Path, typer.Argument(help="The file that KEYS_FILE names.")]
_Name = Annotated[str, typer.Argument(help="The key's name, which logs show.")]


@app.command()
def add(
    file: _File,
    name: _Name,
    scope: Annotated[list[str], typer.Option(help=f"{_SCOPES}; may be given again.")],
    tenant: Annotated[str | None, typer.Option(help="Whose tasks it sees and makes.")] = None,
    requests_per_second: Annotated[float | None, typer.Option(help="None: unbounded.")] = None,
    rows_per_second: Annotated[float | None, typer.Option(help="None: unbounded.")] = None,
    burst_seconds: Annotated[float, typer.Option(help="So much at once, in seconds of both.")] = 1,
    most_tasks: Annotated[
        int | None, typer.Option(help="Of its tenant, when it publishes another. None: unbounded.")
    ] = None,
    expires: Annotated[datetime | None, typer.Option(help="Good until then, in UTC.")] = None,
) -> None:
    """Make a key and print its secret."""
    keys = _read(file).keys if file.exists() else ()
    secret = new_secret()
    record = {
        "name": name,
        "sha256": [hash_of(secret)],
        "scopes": scope,
        "tenant": tenant,
        "requests_per_second": requests_per_second,
        "rows_per_second": rows_per_second,
        "burst_seconds": burst_seconds,
        "most_tasks": most_tasks,
        "expires": None if expires is None else f"{expires.isoformat()}Z",
    }
    _write(file, [*(key.model_dump() for key in keys), record])
    typer.echo(secret)


@app.command()
def rotate(file: _File, name: _Name) -> None:
    """Make a key another secret and print it; the earlier ones stay good until `retire`."""
    secret = new_secret()
    _change(file, name, lambda key: {"sha256": [*key.sha256, hash_of(secret)]})
    typer.echo(secret)


@app.command()
def retire(file: _File, name: _Name) -> None:
    """End all of a key's secrets but the newest."""
    _change(file, name, lambda key: {"sha256": [key.sha256[-1]]})


@app.command()
def remove(file: _File, name: _Name) -> None:
    """End a key."""
    keys = _read(file).keys
    _found(keys, name)
    _write(file, [key.model_dump() for key in keys if key.name != name])


@app.command(name="list")
def list_keys(file: _File) -> None:
    """Show each key: name, tenant, scopes, and how many secrets are good."""
    for key in _read(file).keys:
        scopes = ",".join(sorted(key.scopes))
        typer.echo(f"{key.name}\t{key.tenant or '-'}\t{scopes}\t{len(key.sha256)}")


def _change(file: Path, name: str, changed: Any) -> None:
    keys = _read(file).keys
    one = _found(keys, name)
    _write(file, [key.model_dump() | (changed(key) if key is one else {}) for key in keys])


def _found(keys: tuple[KeyRecord, ...], name: str) -> KeyRecord:
    for key in keys:
        if key.name == name:
            return key
    raise typer.BadParameter(
        f"no key {name!r}; there is {', '.join(k.name for k in keys) or 'none'}"
    )


def _read(file: Path) -> KeyFile:
    try:
        return read_key_file(file)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _write(file: Path, records: list[dict[str, Any]]) -> None:
    try:
        write_key_file(file, KeyFile.model_validate({"keys": records}))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][2:])
        raise typer.BadParameter(f"{where + ': ' if where else ''}{first['msg']}") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None


if __name__ == "__main__":
    app()
