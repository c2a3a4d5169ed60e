"""`create_app(settings)`: the only place where routes, middleware and the engine are wired."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.types import ASGIApp, Receive, Scope, Send

from service.body_limit import BodyLimit
from service.content_coding import ContentCoding
from service.direct_answers import DirectAnswers
from service.engine.engine import Engine, build_engine
from service.fast_lane import FastLane
from service.model_repository import ModelRepository
from service.noted_requests import NotedRequests
from service.observer import Observed, Observer
from service.problems import add_problem_handlers
from service.proxies import Proxies
from service.raw_answers import RawAnswers
from service.readiness import Readiness
from service.routes.documentation import (
    SWAGGER_FILES,
    describe_request_bodies,
    documentation_router,
)
from service.routes.health import health_router
from service.routes.infer import infer_routes
from service.routes.model_repository import model_repository_router
from service.routes.open_inference import open_inference_router
from service.routes.predict import predict_router
from service.routes.raw_predict import raw_predict_route
from service.routes.task_versions import task_versions_router
from service.routes.tasks import tasks_router
from service.settings import Settings
from service.telemetry import Telemetry

if TYPE_CHECKING:
    from service.grpc_face.server import GrpcServer
    from service.tracing import Tracing


class Application:
    """The ASGI application, and what answers small raw requests without it."""

    def __init__(self, asgi: ASGIApp, direct: DirectAnswers) -> None:
        self._asgi = asgi
        self.direct = direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._asgi(scope, receive, send)


def create_app(settings: Settings, readiness: Readiness) -> Application:
    """The application on the store that the settings name.

    Raises the store's errors where there is none, and `ValueError` where the device is missing.
    """
    metrics_registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=metrics_registry)
    telemetry = Telemetry(metrics_registry)
    engine = build_engine(settings, telemetry)
    models = ModelRepository(engine)
    tracing = _tracing(settings.trace_share)
    telemetry.ready.set_function(
        lambda: float(not readiness.draining and engine.follower.unready is None)
    )
    slow_ms = settings.slow_request_ms
    observer = Observer(telemetry, NotedRequests(None if slow_ms is None else slow_ms / 1000))
    grpc = _grpc_server(engine, models, readiness, observer, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        try:
            if grpc is not None:
                await grpc.start()
            yield
            if grpc is not None:
                await grpc.stop(settings.shutdown_seconds)
        finally:
            await engine.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="impress",
        version=version("impress"),
        summary="Very many small tasks on one frozen random network",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    answers = RawAnswers(engine.predictor, settings.request_timeout_ms)
    infer = infer_routes(engine, settings)
    routers = (
        predict_router(engine, settings),
        tasks_router(engine),
        task_versions_router(engine),
        open_inference_router(models, infer, answers),
        model_repository_router(models),
        health_router(engine, readiness, metrics_registry),
        documentation_router(app.title),
    )
    for router in routers:
        app.include_router(router)
    app.mount("/swagger", SWAGGER_FILES)
    describe_request_bodies(app, engine)
    add_problem_handlers(app, [route for router in routers for route in router.routes])
    # Around the framework, not in it: what the lane answers goes through none of its layers.
    raw = (raw_predict_route(engine, settings), *infer)
    coded = ContentCoding(FastLane(app, raw, answers), settings.max_body_bytes)
    limited = BodyLimit(coded, settings.max_body_bytes)
    direct = DirectAnswers(
        raw,
        engine.predictor,
        observer,
        Proxies(settings.trusted_proxies),
        settings.max_body_bytes,
        settings.request_timeout_ms,
    )
    observed = Observed(limited, observer)
    return Application(observed if tracing is None else tracing.around(observed), direct)


def _tracing(share: float) -> "Tracing | None":
    if not share:
        return None
    try:
        # Of an extra, so that it is imported only where somebody asks for it.
        from service.tracing import Tracing
    except ImportError as error:
        raise ValueError(
            f"trace_share is {share}, which needs the extra tracing: pip install 'impress[tracing]'"
        ) from error
    return Tracing(share)


def _grpc_server(
    engine: Engine,
    models: ModelRepository,
    readiness: Readiness,
    observer: Observer,
    settings: Settings,
) -> "GrpcServer | None":
    if settings.grpc_port is None:
        return None
    # Optional, so that only who asks for it needs what it needs.
    try:
        from service.grpc_face.boundary import Boundary
        from service.grpc_face.methods import Methods
        from service.grpc_face.server import GrpcServer
    except ModuleNotFoundError as error:
        raise ValueError(
            f"grpc_port is set and {error.name} is not installed: pip install '.[grpc]'"
        ) from None
    methods = Methods(engine, models, readiness, settings)
    return GrpcServer(methods, Boundary(observer, settings.request_timeout_ms), settings)
