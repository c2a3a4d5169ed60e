"""The table of who may ask what, for the page on access: `python -m service.access.table PAGE`.

Made from the rules alone, so that the page cannot say otherwise than the service does.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from service.access.key_file import Scope
from service.access.rules import ADMINISTERING, GRPC_RULES, HTTP_RULES, Rule
from service.marked_page import with_part

_BEGIN, _END = "<!-- access: made by `make format` -->", "<!-- end of access -->"
_OF_ANOTHER_TENANT = {
    "POST /v1/predict": "404",
    "GET /v1/tasks": "not shown",
    "POST /v2/repository/index": "not shown",
    "PUT /v1/tasks/{task}": "makes its own",
    "POST /v1/tasks/{task}:validate": "-",
    "gRPC ModelReady": "not ready",
    "gRPC ModelMetadata": "404",
    "gRPC ModelInfer": "404",
    "gRPC RepositoryIndex": "not shown",
}

_SCOPES: tuple[Scope, ...] = get_args(Scope)


def access_table() -> str:
    """Markdown: a row a route, a column a kind of caller, a status code where it is refused."""
    scopes = (f"`{scope}`" for scope in _SCOPES)
    head = ("route", "no key", "unknown key", *scopes, "another tenant's task")
    rows = [
        *(_row(name, rule) for name, rule in HTTP_RULES.items()),
        *(_row(f"gRPC {name}", rule) for name, rule in GRPC_RULES.items()),
    ]
    return "\n".join((_line(head), _line(["---"] * len(head)), *rows))


def with_table(page: str) -> str:
    """The page with the table as it is now. Raises `ValueError` where a mark is missing."""
    return with_part(page, _BEGIN, _END, access_table())


def refusal(rule: Rule, scopes: frozenset[Scope] | None) -> int | None:
    """The status code for a key of these scopes, None for no good key; None where it may ask."""
    if rule.needs is None:
        return None
    if scopes is None:
        return 401
    return 403 if scopes.isdisjoint(rule.needs) else None


def _row(name: str, rule: Rule) -> str:
    callers = (None, None, *(frozenset({scope}) for scope in _SCOPES))
    may = (str(refusal(rule, one) or "yes") for one in callers)
    return _line((f"`{name}`", *may, of_another_tenant(name, rule)))


def of_another_tenant(name: str, rule: Rule) -> str:
    """What becomes of a task that the caller has the scope for, and another tenant has."""
    if rule.needs is None or rule == ADMINISTERING:
        return "-"
    return _OF_ANOTHER_TENANT.get(name, "404" if "{task}" in name else "-")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the table into the page that is named."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m service.access.table PAGE")
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text()))


if __name__ == "__main__":
    main()
