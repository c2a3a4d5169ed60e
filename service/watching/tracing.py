"""ASGI middleware that sends sampled requests to OpenTelemetry, with the engine's steps as spans.

Of the extra `tracing`, and imported only where requests are traced. Sees no body.
"""

from importlib.metadata import version
from time import perf_counter_ns, time_ns

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine.timeline import Timeline, current_timeline

_PARENT = TraceContextTextMapPropagator()


class Tracing:
    """Samples a share of requests, and what their caller samples; OTEL_* variables say where to."""

    def __init__(self, share: float) -> None:
        ours = Resource({SERVICE_NAME: "impress", SERVICE_VERSION: version("impress")})
        resource = ours.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(sampler=ParentBasedTraceIdRatio(share), resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application, traced."""
        return Traced(app, self._provider.get_tracer("impress"))

    def close(self) -> None:
        """Send what is still to be sent. Blocks."""
        self._provider.shutdown()


class Traced:
    """Around everything else, so that `scope["trace_id"]` is there for exemplars and the log."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer
        # Spans are dated by the day's time, steps by a clock that never jumps.
        self._epoch_ns = time_ns() - perf_counter_ns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carried = {
            name.decode("latin-1"): said.decode("latin-1") for name, said in scope["headers"]
        }
        started = perf_counter_ns()
        span = self._tracer.start_span(
            "request",
            _PARENT.extract(carried),
            SpanKind.SERVER,
            start_time=self._epoch_ns + started,
        )
        if not span.is_recording():
            await self._app(scope, receive, send)
            return
        scope["trace_id"] = f"{span.get_span_context().trace_id:032x}"
        code, answered = 500, 0

        async def send_seen(message: Message) -> None:
            nonlocal code, answered
            if message["type"] == "http.response.start":
                code, answered = message["status"], perf_counter_ns()
            await send(message)

        timeline = Timeline()
        token = current_timeline.set(timeline)
        try:
            await self._app(scope, receive, send_seen)
        finally:
            current_timeline.reset(token)
            if timeline.steps and answered:
                timeline.add("encode", timeline.steps[-1].ended_ns, answered)
            self._describe(span, scope, code)
            self._add_steps(span, timeline)
            span.end(self._epoch_ns + perf_counter_ns())

    def _describe(self, span: Span, scope: Scope, code: int) -> None:
        # The template, never the path: names of spans are few.
        found = scope.get("route")
        route = getattr(found, "path_format", getattr(found, "path", "unmatched"))
        span.update_name(f"{scope['method']} {route}")
        said = {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": code,
            "impress.request_id": scope.get("request_id"),
            "impress.task": scope.get("task"),
        }
        span.set_attributes({name: value for name, value in said.items() if value is not None})
        if code >= 500:
            span.set_status(Status(StatusCode.ERROR))

    def _add_steps(self, span: Span, timeline: Timeline) -> None:
        within = set_span_in_context(span)
        for step in timeline.steps:
            started, ended = self._epoch_ns + step.started_ns, self._epoch_ns + step.ended_ns
            details = {f"impress.batch.{name}": value for name, value in step.details.items()}
            child = self._tracer.start_span(
                step.name, within, attributes=details, start_time=started
            )
            child.end(ended)
