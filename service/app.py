"""`create_app(settings)`: the only place where routes, middleware and the engine are wired."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.types import ASGIApp

from service.body_limit import BodyLimit
from service.engine.engine import build_engine
from service.fast_lane import FastLane, LaneRoute
from service.observer import Observer
from service.problems import add_problem_handlers
from service.readiness import Readiness
from service.routes.documentation import (
    SWAGGER_FILES,
    describe_request_bodies,
    documentation_router,
)
from service.routes.health import health_router
from service.routes.infer import infer_handler
from service.routes.open_inference import open_inference_router
from service.routes.predict import predict_router
from service.routes.raw_predict import raw_predict
from service.routes.tasks import tasks_router
from service.settings import Settings
from service.telemetry import Telemetry


def create_app(settings: Settings, readiness: Readiness) -> ASGIApp:
    """The application on the store that the settings name.

    Raises the store's errors where there is none, and `ValueError` where the device is missing.
    """
    metrics_registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=metrics_registry)
    telemetry = Telemetry(metrics_registry)
    engine = build_engine(settings, telemetry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        yield
        await engine.close()

    app = FastAPI(
        title="impress",
        version=version("impress"),
        summary="Very many small tasks on one frozen random network",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(predict_router(engine, settings))
    app.include_router(tasks_router(engine))
    infer = infer_handler(engine, settings)
    app.include_router(open_inference_router(engine, infer))
    app.include_router(health_router(engine, readiness, metrics_registry))
    app.include_router(documentation_router(app.title))
    app.mount("/swagger", SWAGGER_FILES)
    describe_request_bodies(app)
    add_problem_handlers(app)
    # Around the framework, not in it: what the lane answers goes through none of its layers.
    lane = (
        LaneRoute("/v1/predict", raw_predict(engine, settings)),
        LaneRoute("/v2/models/{task}/infer", infer),
        LaneRoute("/v2/models/{task}/versions/{version}/infer", infer),
    )
    return Observer(BodyLimit(FastLane(app, lane), settings.max_body_bytes), telemetry)
