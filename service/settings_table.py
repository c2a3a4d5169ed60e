"""The table of all settings for the operators' page: `python -m service.settings_table PAGE`.

Made from `Settings` alone, so that the page cannot say otherwise than the service does.
"""

import sys
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from service.marked_page import with_part
from service.settings import Settings

_BEGIN, _END = "<!-- settings: made by `make format` -->", "<!-- end of settings -->"
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_KINDS: dict[Any, str] = {
    bool: "`true`, `false`",
    int: "whole number",
    float: "number",
    Path: "path",
}


def settings_table() -> str:
    """Markdown: a row a setting, in the order of the code."""
    rows = [
        f"| `{name.upper()}` | {_default(field)} | {_accepted(field)} | {_meaning(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(("| variable | default | accepted | meaning |", "|---|---|---|---|", *rows))


def with_table(page: str) -> str:
    """The page with the table as it is now between its two marks.

    Raises `ValueError` where a mark is missing.
    """
    return with_part(page, _BEGIN, _END, settings_table())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "none"
    default = field.get_default(call_default_factory=True)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _accepted(field: FieldInfo) -> str:
    choices = [str(one) for one in _literals(field.annotation)]
    if choices:
        return ", ".join(f"`{one}`" for one in choices)
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in _SIGNS.items()
        if hasattr(rule, name)
    ]
    kinds = set(get_args(field.annotation) or (field.annotation,)) - {type(None)}
    named = " or ".join(sorted(_KINDS.get(kind, "text") for kind in kinds))
    return ", ".join((named, *bounds))


def _literals(annotation: Any) -> list[Any]:
    """The values of a `Literal`, or of one that may be left out."""
    found: list[Any] = []
    for one in get_args(annotation):
        found += [one] if isinstance(one, str) else _literals(one)
    return found


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", r"\|")


def main() -> None:
    """Write the table into the page that is named."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m service.settings_table PAGE")
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text()))


if __name__ == "__main__":
    main()
