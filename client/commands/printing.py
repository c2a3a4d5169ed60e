"""How a command's result is printed: JSON for programs, aligned columns for people."""

import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass

import numpy as np
import typer


def print_json(result: object, *, in_one_line: bool = False) -> None:
    """A dataclass, or what JSON knows, with dataclasses and arrays in it."""
    typer.echo(json.dumps(result, default=_plain, indent=None if in_one_line else 2))


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Each column as wide as its widest entry; no line is cut, so that pipes read whole names."""
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def printable(text: str) -> str:
    """The text with what cannot be seen spelled out: strangers' labels may command a terminal."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"no JSON for {type(value).__name__}")
