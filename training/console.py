"""What the trainer says to a person: progress on stderr, and errors in one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from model_store.errors import StoreError
from training.errors import TrainingError

_UNREADABLE_WIDTH = 80
_MOST_CLASSES_NAMED = 10


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Turn what a person can put right into `error: ...` on stderr and exit status 2."""
    try:
        yield
    except (StoreError, TrainingError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def described_counts(class_counts: Mapping[str, int]) -> str:
    """Training images by class in one line: each of a few, the least and the most of many."""
    images = f"{sum(class_counts.values())} training images of {len(class_counts)} classes"
    if len(class_counts) <= _MOST_CLASSES_NAMED:
        return f"{images}: " + ", ".join(f"{name} {n}" for name, n in class_counts.items())
    least, most = (choose(class_counts, key=class_counts.__getitem__) for choose in (min, max))
    return f"{images}: from {class_counts[least]} ({least}) to {class_counts[most]} ({most})"


def progress_bar() -> Progress:
    """A bar on stderr, silent where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def output_console() -> Console:
    """Standard output for tables, wide enough for them where it is no terminal."""
    console = Console()
    return console if console.width > _UNREADABLE_WIDTH else Console(width=120)
