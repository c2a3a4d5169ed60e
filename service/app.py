"""`create_app(settings)`: the only place where routes, middleware and the engine are wired."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.audit import Audited
from service.access.control import AccessControl, access_control
from service.access.documented import describe_access
from service.access.key_ring import KeyRing
from service.access.management_port import ManagementPort
from service.access.middleware import Access
from service.access.rules import Rules
from service.connections.body_limit import BodyLimit
from service.connections.content_coding import ContentCoding
from service.connections.direct_answers import DirectAnswers
from service.connections.fast_lane import FastLane
from service.connections.proxies import Proxies
from service.connections.raw_answers import RawAnswers
from service.connections.slow_callers import SlowCallers
from service.engine.engine import Engine, build_engine
from service.open_inference.repository import ModelRepository
from service.problems import add_problem_handlers
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
from service.watching.noted_requests import NotedRequests
from service.watching.observer import Observed, Observer
from service.watching.telemetry import Telemetry

if TYPE_CHECKING:
    from service.grpc_face.server import GrpcServer
    from service.watching.tracing import Tracing


class Application:
    """The ASGI application, and what its server needs of it beside that."""

    def __init__(
        self,
        asgi: ASGIApp,
        direct: DirectAnswers,
        slow_callers: SlowCallers,
        rules: Rules,
        control: AccessControl | None,
    ) -> None:
        self._asgi = asgi
        self.direct = direct
        """Answers small raw requests without ASGI."""
        self.slow_callers = slow_callers
        self.rules = rules
        self._control = control

    @property
    def reload_keys(self) -> Callable[[], None] | None:
        """Looks at the file of keys now; None where there is none."""
        return None if self._control is None else self._control.watch.reload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._asgi(scope, receive, send)


def create_app(settings: Settings, readiness: Readiness) -> Application:
    """The application on the store that the settings name.

    Raises the store's errors where there is none, `ValueError` where the device is missing, and
    that or `OSError` where the file of keys is not one.
    """
    metrics_registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=metrics_registry)
    telemetry = Telemetry(metrics_registry)
    engine = build_engine(settings, telemetry)
    models = ModelRepository(engine)
    control = access_control(settings, engine, telemetry)
    ring = None if control is None else control.ring
    tracing = _tracing(settings.trace_share)
    telemetry.ready.set_function(
        lambda: float(not readiness.draining and engine.follower.unready is None)
    )
    slow_ms = settings.slow_request_ms
    observer = Observer(telemetry, NotedRequests(None if slow_ms is None else slow_ms / 1000))
    grpc = _grpc_server(engine, models, readiness, observer, ring, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        try:
            if control is not None:
                control.start()
            if grpc is not None:
                await grpc.start()
            yield
            if grpc is not None:
                await grpc.stop(settings.shutdown_seconds)
        finally:
            if control is not None:
                await control.close()
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
    names_are_public = control is None
    routers = (
        predict_router(engine, settings),
        tasks_router(engine),
        task_versions_router(engine),
        open_inference_router(models, infer, answers),
        model_repository_router(models),
        health_router(engine, readiness, metrics_registry, names_are_public),
        documentation_router(app.title),
    )
    for router in routers:
        app.include_router(router)
    app.mount("/swagger", SWAGGER_FILES)
    describe_request_bodies(app, engine)
    if control is not None:
        describe_access(app)
    add_problem_handlers(app, [route for router in routers for route in router.routes])
    rules = Rules(app.routes)
    # Around the framework, not in it: what the lane answers goes through none of its layers.
    raw = (raw_predict_route(engine, settings), *infer)
    coded = ContentCoding(FastLane(app, raw, answers), settings.max_body_bytes)
    limited = BodyLimit(coded, settings.max_body_bytes)
    guarded: ASGIApp = Audited(limited, rules, engine.registry.version_of)
    if ring is not None:
        guarded = Access(guarded, rules, ring)
    if settings.management_port is not None:
        guarded = ManagementPort(guarded, rules, settings.management_port)
    direct = DirectAnswers(
        raw,
        engine.predictor,
        observer,
        Proxies(settings.trusted_proxies),
        settings.max_body_bytes,
        settings.request_timeout_ms,
        ring,
    )
    observed = Observed(guarded, observer)
    asgi = observed if tracing is None else tracing.around(observed)
    slow_callers = SlowCallers(settings.slow_caller_seconds, telemetry.rejected.labels("slow"))
    return Application(asgi, direct, slow_callers, rules, control)


def _tracing(share: float) -> "Tracing | None":
    if not share:
        return None
    try:
        # Of an extra, so that it is imported only where somebody asks for it.
        from service.watching.tracing import Tracing
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
    ring: KeyRing | None,
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
    managed_elsewhere = settings.management_port is not None
    boundary = Boundary(observer, settings.request_timeout_ms, ring, managed_elsewhere)
    return GrpcServer(methods, boundary, settings)
