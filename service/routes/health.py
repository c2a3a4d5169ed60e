"""Probes for whoever runs the service, and the metrics. The probes never ask for a key."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.engine.engine import Engine
from service.problems import problem_response
from service.readiness import Readiness, why_unready
from service.schemas import PROBLEMS


def health_router(
    engine: Engine,
    readiness: Readiness,
    metrics_registry: CollectorRegistry,
    names_are_public: bool,
) -> APIRouter:
    """The routes, on an engine and the registry that holds its metrics.

    Where names of tasks are not for everyone, a probe says only how many are damaged.
    """
    router = APIRouter(tags=["operations"], responses=PROBLEMS)

    @router.get("/livez", summary="200 while the process answers at all")
    @router.get("/v2/health/live", include_in_schema=False)
    async def live() -> dict[str, Any]:
        return {"live": True}

    @router.get("/readyz", summary="200 where requests are welcome, 503 with the reason")
    @router.get("/v2/health/ready", include_in_schema=False)
    async def ready(request: Request) -> Response:
        follower, fleet = engine.follower, engine.fleet
        if (unready := why_unready(readiness, follower)) is not None:
            return problem_response(request, 503, unready)
        damaged = engine.registry.damaged
        state = {
            "ready": True,
            "tasks": len(engine.registry),
            "store": follower.explained,
            "version": f"{engine.registry.version:012x}",
            "damaged": len(damaged),
            **({"damaged_tasks": damaged} if names_are_public else {}),
            "redis": "not configured" if fleet is None else "up" if fleet.link.up else "down",
        }
        return Response(orjson.dumps(state), media_type="application/json")

    @router.get("/debug/plan", summary="How batches are computed here, and what each way costs")
    async def plan() -> Response:
        explained = orjson.dumps(engine.explained(), option=orjson.OPT_NON_STR_KEYS)
        return Response(explained, media_type="application/json")

    @router.get(
        "/metrics",
        summary="Prometheus metrics, as text or OpenMetrics",
        response_class=PlainTextResponse,
    )
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics_registry), headers={"Content-Type": content_type})

    return router
