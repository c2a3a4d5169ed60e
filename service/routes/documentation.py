"""`/docs`: the page of docs, from files of an installed package, so that it works offline."""

from copy import deepcopy
from typing import Any, Literal

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.engine.engine import Engine
from service.openapi_examples import add_examples
from service.schemas import REQUEST_MODELS
from service.task_schemas import AliasTarget, CanaryTarget

_REQUEST_MODELS: tuple[type[BaseModel], ...] = (*REQUEST_MODELS, AliasTarget, CanaryTarget)
_REFERENCES = "#/components/schemas/{model}"

SWAGGER_FILES = StaticFiles(packages=[("fastapi_swagger", "resources")])


def documentation_router(title: str) -> APIRouter:
    """The page, and a redirect to it from the root."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=title,
            swagger_js_url="/swagger/swagger-ui-bundle.js",
            swagger_css_url="/swagger/swagger-ui.css",
            swagger_favicon_url="/swagger/favicon-32x32.png",
        )

    @router.get("/")
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    return router


def describe_request_bodies(app: FastAPI, engine: Engine) -> None:
    """Add the models of bodies that the routes read themselves, which FastAPI does not see."""
    described = app.openapi

    def with_request_bodies() -> dict[str, Any]:
        document = deepcopy(described())
        modes: list[tuple[type[BaseModel], Literal["validation"]]] = [
            (model, "validation") for model in _REQUEST_MODELS
        ]
        _, schemas = models_json_schema(modes, ref_template=_REFERENCES)
        document["components"]["schemas"].update(schemas["$defs"])
        add_examples(document, engine)
        return document

    app.openapi = with_request_bodies  # type: ignore[method-assign]  # FastAPI's own way to extend
