"""What is wrong with a set-up, in words: a list of findings, each with what to do about it."""

import ipaddress
import statistics
import time
import urllib.request
from collections.abc import Iterator

import httpx2
import numpy as np

from client.blocking import Client
from client.connection import client_version
from client.errors import (
    ClientError,
    DeadlinePassed,
    Forbidden,
    NotFound,
    ServerAway,
    UnexpectedAnswer,
)
from client.findings import Finding
from client.metric_findings import metric_findings
from client.metric_samples import samples_of
from client.results import Readiness

_PINGS = 10
_SLOW_PING_MS = 50


def diagnose(client: Client) -> Iterator[Finding]:
    """Look at one thing after another; nothing more where the service cannot be reached."""
    yield from _address(client)
    try:
        client.alive()
    except ClientError as error:
        yield Finding("wrong", "reachable", str(error), _advice_when_away(error))
        return
    yield Finding("ok", "reachable", f"{client.connection.url} answers")
    for look in (_version, _ready, _ping, _prediction, _metrics):
        try:
            yield from look(client)
        except Forbidden as error:
            yield Finding("wrong", look.__name__.strip("_"), str(error), "give --api-key a key")
        except ClientError as error:
            yield Finding("wrong", look.__name__.strip("_"), str(error))


def _address(client: Client) -> Iterator[Finding]:
    url = httpx2.URL(client.connection.url)
    if url.path.strip("/"):
        yield Finding(
            "warning",
            "address",
            f"{url} has the path {url.path}",
            "the client adds /v1 and /v2 itself: give the address without, unless a proxy wants it",
        )
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(url.host):
        # Without what stands before the host: it may be a password.
        said = f"the environment sends requests through the proxy {httpx2.URL(proxy).host}"
        yield Finding("warning", "address", said, f"NO_PROXY={url.host} lets them go straight")
    if client.connection.api_key is not None and url.scheme == "http" and not _is_near(url.host):
        yield Finding(
            "warning",
            "address",
            "the key travels in the clear to another machine",
            "use https, or an address that only this network reaches",
        )


def _is_near(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _advice_when_away(error: ClientError) -> str:
    # Without the address, which may have any of these words in it.
    said = str(error.__cause__ or "").lower()
    match error:
        case NotFound():
            return "a service is there, but not under this path: give its address without one"
        case UnexpectedAnswer():
            return "another server listens there: give the service's own address with --url"
        case DeadlinePassed():
            return "it listens but does not answer: is it overloaded or stopped, or a firewall?"
        case ServerAway() if "refused" in said:
            return "start it (impress-serve), or give its address with --url or IMPRESS_URL"
        case ServerAway() if "name" in said or "address" in said:
            return "the host's name is not known here: check its spelling and this machine's DNS"
        case ServerAway() if "ssl" in said or "certificate" in said:
            return "check the certificate; or is it http:// that is spoken there?"
    return "check the address, and what lies between: a firewall, a proxy"


def _version(client: Client) -> Iterator[Finding]:
    try:
        server = client.server()
    except NotFound:
        yield Finding("wrong", "version", "it does not say what it is", "is it this service?")
        return
    if server.name != "impress":
        yield Finding("wrong", "version", f"it is {server.name!r}, not impress", "check --url")
        return
    mine = client_version()
    if _series(server.version) == _series(mine):
        yield Finding("ok", "version", f"service {server.version}, client {mine}")
    else:
        yield Finding(
            "warning",
            "version",
            f"service {server.version}, client {mine}",
            "install the service's version of the client: requests of one may be new to the other",
        )


def _series(version: str) -> list[str]:
    return version.split(".")[:2]


def _ready(client: Client) -> Iterator[Finding]:
    readiness = client.ready()
    if not readiness.ready:
        said = f"not ready: {readiness.because}"
        yield Finding("wrong", "ready", said, "look at the service's log and at its store")
        return
    yield Finding("ok", "ready", f"takes requests; tasks are {readiness.store}")
    yield from _tasks(readiness)
    match readiness.redis:
        case "down":
            yield Finding(
                "warning",
                "redis",
                "configured and down; answers are right without it, replicas start colder",
                "check REDIS_URL and that Redis runs",
            )
        case None:
            yield Finding("warning", "redis", "the service does not say")
        case state:
            yield Finding("ok", "redis", state)


def _tasks(readiness: Readiness) -> Iterator[Finding]:
    if not readiness.tasks:
        advice = "push one (impress task push), or check the service's STORE"
        yield Finding("warning", "tasks", "the store has no task", advice)
    else:
        yield Finding("ok", "tasks", f"{readiness.tasks} registered")
    if readiness.damaged_tasks:
        names = ", ".join(sorted(readiness.damaged_tasks)[:5])
        said = f"{len(readiness.damaged_tasks)} could not be loaded: {names}"
        advice = "impress-store verify names the damage; push these tasks again"
        yield Finding("wrong", "tasks", said, advice)


def _ping(client: Client) -> Iterator[Finding]:
    times_ms = []
    for _ in range(_PINGS):
        begun = time.perf_counter()
        client.alive()
        times_ms.append(1000 * (time.perf_counter() - begun))
    middle = statistics.median(times_ms)
    said = f"{middle:.1f} ms in the median, {max(times_ms):.1f} ms at most, of {_PINGS}"
    if middle <= _SLOW_PING_MS:
        yield Finding("ok", "ping", said)
    else:
        advice = "a long way to the service, or an event loop or machine that is busy"
        yield Finding("warning", "ping", said, advice)


def _prediction(client: Client) -> Iterator[Finding]:
    first = client.page(limit=1).tasks
    if not first:
        return
    task, row = first[0].task, np.full((1, client.row_length()), 0.5, np.float32)
    begun = time.perf_counter()
    values = client.probabilities(row, task).values
    took_ms = 1000 * (time.perf_counter() - begun)
    total = float(values.sum())
    if abs(total - 1) < 1e-3:
        yield Finding("ok", "prediction", f"{task} answers a grey row in {took_ms:.1f} ms")
    else:
        said = f"probabilities of {task} sum to {total:g}"
        yield Finding("wrong", "prediction", said, "the service computes wrongly: report it")


def _metrics(client: Client) -> Iterator[Finding]:
    yield from metric_findings(samples_of(client.metrics()))
