"""Says in the OpenAPI document which operations ask for a key, where any does."""

from typing import Any

from fastapi import FastAPI

from service.access.rules import ADMINISTERING, HTTP_RULES

_SCHEME = "key"


def describe_access(app: FastAPI) -> None:
    """Add the scheme, and to each operation what it asks for."""
    described = app.openapi

    def with_access() -> dict[str, Any]:
        document = described()
        document["components"]["securitySchemes"] = {
            _SCHEME: {"type": "http", "scheme": "bearer", "description": "A key of this service."}
        }
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                rule = HTTP_RULES.get(f"{method.upper()} {path}", ADMINISTERING)
                if rule.needs is not None:
                    operation["security"] = [{_SCHEME: []}]
                    operation["description"] = f"Scope: {' or '.join(sorted(rule.needs))}."
        return document

    app.openapi = with_access  # type: ignore[method-assign]  # FastAPI's own way to extend
