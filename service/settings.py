"""All settings of the service, from environment variables or flags; a bad value stops the start."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, RedisDsn, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_store.errors import InvalidTaskName
from model_store.task_names import checked_stored_name
from service.engine.inference.identification import named_methods
from service.watching.logs import LogFormat, LogLevel

MEBIBYTE = 1 << 20
MAX_TIMEOUT_MS = 3_600_000
"""The longest time that a request may ask for: an hour."""


def _in_small_letters(said: object) -> object:
    return said.lower() if isinstance(said, str) else said


class Settings(BaseSettings):
    """Serves the tasks of a store. Each flag can be an environment variable: --port, or PORT."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_prog_name="impress-serve",
    )

    store: Path = Path("store")
    """Folder of the store, or s3://bucket/prefix; uploads are written there."""
    reconcile_seconds: float = Field(default=2, gt=0, le=3600)
    """How often the store is looked at for what others changed in it, the trainer or a replica.
    Replicas with a Redis in common also tell each other of uploads and deletes at once."""
    stale_seconds: float = Field(default=60, ge=0, le=86_400)
    """How long a service that was in step with the store stays ready when it can read it no more,
    and answers from what it last read."""
    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback, `keys_file` or `allow_unauthenticated` must be set."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    grpc_port: int | None = Field(default=None, ge=1, le=65535)
    """Port for the Open Inference Protocol over gRPC, on the same address. None: not served. Needs
    the extra: `pip install '.[grpc]'`."""
    trusted_proxies: str = "127.0.0.1"
    """Addresses or networks, comma-separated, whose X-Forwarded-For names the caller. Behind any
    other proxy all its clients count as one caller: fair to each other's tasks, not to them."""
    keys_file: Path | None = None
    """File of API keys, which `impress-keys` writes; looked at again every second, and on SIGHUP.
    None: no key is asked for."""
    management_port: int | None = Field(default=None, ge=1, le=65535)
    """Port of its own, on the same address, for uploads, deletes, loads, /metrics and /debug, which
    then are served there alone. None: all on one port."""
    audit_file: Path | None = None
    """File that the lines about changes of tasks are appended to, as JSON, beside the log; reopened
    when it was moved away."""
    allow_unauthenticated: bool = False
    """Let anyone who reaches the address predict, upload and delete: for private networks."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch computes; auto takes a GPU where there is one."""
    forward_path: Literal["auto", "grouped", "mixed"] = "auto"
    """How rows are computed. auto: as is soonest by what was measured, so that one row asked for
    twice may get logits that differ by rounding. grouped: on the task's composed weights. mixed:
    without, rows of any tasks together, and on a CPU with the compiled kernels the same bits
    whatever else is asked for meanwhile; masks of a task's own need composed weights all the same.
    Where the bank's rows cannot mix, mixed stops the start."""

    share_tasks: bool = True
    """Whether processes of one user on this machine keep the tensors of tasks that they find at
    their start once for all, in /dev/shm, while there is room there; beyond it each has its own."""
    cache_bytes: int = Field(default=256 * MEBIBYTE, ge=0)
    """Composed weights kept in the process, in bytes."""
    resident_bytes: int = Field(default=1024 * MEBIBYTE, gt=0)
    """Of a GPU's memory, for tasks' coefficients and statistics: a batch of tasks that are there
    brings its rows alone. At least as many as max_batch_rows have to fit."""
    pinned_tasks: str = ""
    """Names of tasks, comma-separated, whose composed weights are at hand before the service is
    ready, and stay whatever else is asked for; each version that replaces one is pinned in its
    place. Where cache_bytes cannot hold them all the start is refused."""
    redis_url: RedisDsn | None = Field(default=None, repr=False)
    """Redis for composed weights, shared between processes. None: cached in the process only."""
    redis_timeout_ms: float = Field(default=50, gt=0, le=10_000)
    """A Redis call that takes longer counts as a miss."""
    redis_ttl_seconds: int = Field(default=3600, ge=1)
    """How long Redis keeps a task's composed weights after they were last asked for."""
    redis_read: Literal["auto", "always", "never"] = "auto"
    """Whether composed weights are fetched from Redis, and so written to it: auto, while a fetch is
    measured to be faster than composing."""
    redis_precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """What composed weights are rounded to in Redis, and, so that it makes no difference where they
    come from, wherever they are composed. auto: fp16 where every task's are, and fp32 where rows of
    several tasks also run together without, which rounds nothing."""
    redis_max_bytes: int = Field(default=192 * MEBIBYTE, ge=0)
    """What a store's composed weights may take in Redis together; those of tasks asked for longest
    ago make room."""
    redis_warm_seconds: float = Field(default=5, ge=0, le=600)
    """How long a start may take to compose or fetch what other replicas are asked for most, before
    it is ready. 0: it begins with none."""

    max_batch_rows: int = Field(default=256, ge=1)
    """Rows computed in one go; a larger request is split."""
    max_batch_delay_ms: float = Field(default=0, ge=0, le=1000)
    """How long an idle engine lets a batch fill. 0: it takes what waits as soon as it is free."""
    max_inline_ms: float = Field(default=5, ge=0, le=10)
    """A batch that by all that was measured takes less is computed on the event loop, which saves
    it the way to another thread and back. 0: never."""
    max_queue_rows: int = Field(default=8192, ge=1)
    """Rows that may wait; more are refused with 503. One caller, known by its address or its key,
    may let no more wait than it leaves free for others."""
    max_request_rows: int = Field(default=1024, ge=1)
    """Rows in one request; more are refused with 422."""
    request_timeout_ms: float | None = Field(default=None, gt=0, le=MAX_TIMEOUT_MS)
    """How long a request may take that does not say so itself by X-Request-Timeout-Ms. What
    would be late is refused at once with 503, what became late with 504. None: for ever."""
    max_body_bytes: int = Field(default=16 * MEBIBYTE, ge=1024)
    """Size of a request's body; a larger one is refused with 413 before it is read."""
    slow_caller_seconds: float = Field(default=60, gt=0, le=86_400)
    """How long a caller may take to send all of a request, and to take its answer; then its
    connection ends. What it began to send is answered with 408."""
    max_image_pixels: int = Field(default=16_000_000, ge=1)
    """Width times height of an image; a larger one is refused before it is decoded."""

    max_inference_queue_rows: int = Field(default=2048, ge=1)
    """Rows without a task that may wait for theirs to be searched for, beside `max_queue_rows`;
    more are refused with 503. One caller may let no more wait than it leaves free for others."""
    inference_share: float = Field(default=0.5, gt=0, le=1)
    """How much of the time in which named tasks are predicted with too the search for tasks may
    compute: after each it rests for the remainder. 1: it never rests."""
    inference_lists_bytes: int = Field(default=64 * MEBIBYTE, ge=0)
    """What is kept of lists of tasks that requests without a task chose from, so that callers who
    see other tasks do not undo each other's: of where their evidence lies, and as much again of
    their coefficients for the methods that go by gradient. The newest is kept however large."""
    inference_shortlist: int = Field(default=32, ge=1, le=1024)
    """Tasks whose true entropy is taken when a request names no task."""
    inference_cache_bytes: int = Field(default=4 * MEBIBYTE, ge=0)
    """What was found out about rows without a task, kept so that the same rows asked again need no
    search; all of it goes when any task changes. 0: nothing is kept."""
    session_rows: int = Field(default=64, ge=1)
    """Rows that a session's answers rest on: of its requests the last so many, each of which costs
    what as many rows at once do."""
    session_seconds: float = Field(default=300, gt=0, le=86_400)
    """How long after its last request a session is forgotten."""
    session_bytes: int = Field(default=64 * MEBIBYTE, ge=0)
    """Rows of all sessions together; those asked for longest ago make room. 0: each request of a
    session stands alone."""
    max_exhaustive_rows: int = Field(default=65_536, ge=0)
    """Rows times tasks that a request by `exhaustive` may take the entropy of; more are refused
    with 422."""
    inference_methods: str = "auto, one-shot, one-shot-g, binary, short-list, exhaustive, adapt"
    """Methods that requests may ask for, comma-separated, auto among them; others are refused with
    422. `adapt` computes longest and keeps a form of the bank to learn with."""
    inference_margin_nats: float = Field(default=0.3, ge=0)
    """Below this distance to the runner-up the service abstains: in log-odds where tasks bring
    evidence of their inputs, else in entropy."""
    inference_false_acceptance: float = Field(default=0.1, ge=0, le=1)
    """Share of the rows of tasks that were never registered, and are unlike those that are, that
    may be taken for one of them; how strange rows may be to the best task before the service
    abstains follows from it. Less refuses more of the registered tasks' single rows. 1: none are
    refused for it. 0: all are, where a task brings evidence."""

    log_format: LogFormat = "auto"
    """How the log is written, on standard error: a JSON object a line, or for people. auto: for
    people on a terminal, else JSON."""
    log_level: Annotated[LogLevel, BeforeValidator(_in_small_letters)] = "info"
    """What is logged: this and whatever is graver."""
    access_log: bool = False
    """Log a line a request, with its path, in which a task's name may be."""
    slow_request_ms: float | None = Field(default=1000, gt=0)
    """A request that took as long is logged, as one that failed here is. None: no such limit."""
    trace_share: float = Field(default=0, ge=0, le=1)
    """Share of requests that OpenTelemetry is sent a trace of, beside those that their caller
    samples by `traceparent`; to where `OTEL_EXPORTER_OTLP_ENDPOINT` says. 0: none. Needs the extra
    `tracing`."""

    keep_alive_seconds: int = Field(default=75, ge=1, le=3600)
    """How long a connection stays open on which nothing is asked. Longer than proxies keep theirs,
    or they ask on one that was just closed; 60 seconds are common."""
    drain_seconds: float = Field(default=0, ge=0, le=600)
    """After SIGTERM, how long requests are still taken while /readyz says 503."""
    shutdown_seconds: int = Field(default=20, ge=1, le=600)
    """After that, how long requests under way may take to finish."""

    @property
    def pinned_names(self) -> tuple[str, ...]:
        """The pinned tasks' names, each once."""
        return tuple(dict.fromkeys(filter(None, map(str.strip, self.pinned_tasks.split(",")))))

    @model_validator(mode="after")
    def _refuse_names_of_no_task(self) -> "Settings":
        for name in self.pinned_names:
            try:
                checked_stored_name(name)
            except InvalidTaskName as error:
                raise ValueError(f"pinned_tasks: {error}") from None
        return self

    @field_validator("inference_methods")
    @classmethod
    def _refuse_unknown_methods(cls, said: str) -> str:
        named_methods(said)
        return said

    @model_validator(mode="after")
    def _refuse_what_never_fits(self) -> "Settings":
        for most, room in (
            ("max_request_rows", "max_queue_rows"),
            ("max_request_rows", "max_inference_queue_rows"),
            ("session_rows", "max_inference_queue_rows"),
        ):
            if getattr(self, most) > getattr(self, room):
                raise ValueError(
                    f"{most} ({getattr(self, most)}) must not exceed {room} ({getattr(self, room)})"
                )
        return self

    @model_validator(mode="after")
    def _refuse_one_port_for_both(self) -> "Settings":
        if self.grpc_port == self.port:
            raise ValueError(f"grpc_port ({self.grpc_port}) must not be port")
        if self.management_port in (self.port, self.grpc_port) and self.management_port:
            raise ValueError(
                f"management_port ({self.management_port}) must not be port or grpc_port"
            )
        return self

    @model_validator(mode="after")
    def _refuse_open_doors(self) -> "Settings":
        if self.keys_file is not None and self.allow_unauthenticated:
            raise ValueError("expected keys_file or allow_unauthenticated, got both")
        if (
            self.keys_file is None
            and not self.allow_unauthenticated
            and not _is_loopback(self.host)
        ):
            raise ValueError(
                f"host {self.host} is reachable from elsewhere and there is no access control: "
                "bind to 127.0.0.1, set KEYS_FILE, or set ALLOW_UNAUTHENTICATED=true"
            )
        return self


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
