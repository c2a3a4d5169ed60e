"""The option that names tags, as several commands have it."""

from typing import Annotated

import typer

Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only tasks of this tag; of all of them where it is repeated."),
]
NewTags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="A tag in place of the artifact's own; may be repeated."),
]
