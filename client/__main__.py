"""`python -m client`, which is `impress`: the operator's command line."""

from typing import Annotated

import typer

from client.commands.bench_command import bench
from client.commands.connecting import EXIT_STATUS
from client.commands.doctor_command import doctor
from client.commands.predict_command import predict
from client.commands.task_commands import app as task_app
from client.commands.top_command import top
from client.commands.version_commands import add_version_commands
from client.connection import client_version

app = typer.Typer(
    help="Ask, fill, watch and check a service of very many small tasks.",
    epilog=EXIT_STATUS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
add_version_commands(task_app)
app.add_typer(task_app, name="task")
app.command("predict")(predict)
app.command("top")(top)
app.command("bench")(bench)
app.command("doctor")(doctor)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"impress {client_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say it and exit."),
    ] = False,
) -> None:
    pass


if __name__ == "__main__":
    app()
