"""`/docs`: the page of docs, from files of an installed package, so that it works offline."""

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

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
