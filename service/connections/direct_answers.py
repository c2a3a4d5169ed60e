"""Answers small raw requests of named tasks as soon as their bytes are there. Knows no sockets.

What it does not take is for the application, as if nobody had asked here; what it takes it answers
and counts as the application would.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

from service.access.key_ring import Key, KeyRing
from service.access.rules import ASKING_SCOPES
from service.connections.proxies import Proxies
from service.connections.raw_calls import RawAnswer, RawRequest, RawRoute, is_raw
from service.engine.batches.waiting import Outcome
from service.engine.prediction import Prediction
from service.engine.predictor import Begun, Predictor
from service.engine.registry.entries import Terms
from service.problems import CALLER_LEFT, PROBLEM_JSON, problem_in
from service.routes.terms import terms_said
from service.watching.observer import Observer

MOST_BYTES = 64 << 10
"""Of a body; beyond it what ASGI costs is little beside the rows."""

_REMEMBERED_URLS = 4096
_PROBLEM = b"content-type", PROBLEM_JSON.encode()

Headers = Mapping[bytes, bytes]
Lines = Sequence[tuple[bytes, bytes]]


class Target(NamedTuple):
    """Where a request goes: a route, with the parts of the path by name, and the query."""

    route: RawRoute
    parts: Mapping[str, str]
    path: str
    query: bytes


class DirectAnswers:
    """On an engine, for the routes of raw requests; all of them predict, with a key of `ring`."""

    def __init__(
        self,
        routes: Sequence[RawRoute],
        predictor: Predictor,
        observer: Observer,
        proxies: Proxies,
        max_body_bytes: int,
        timeout_ms: float | None,
        ring: KeyRing | None = None,
    ) -> None:
        self._routes = routes
        self.ring = ring
        self.predictor = predictor
        self.observer = observer
        self.proxies = proxies
        self.timeout_ms = timeout_ms
        self._most_bytes = min(MOST_BYTES, max_body_bytes)
        self._of_path = lru_cache(_REMEMBERED_URLS)(self._target_of_path)
        self.target = lru_cache(_REMEMBERED_URLS)(self._target)
        """Where a POST of that URL goes; None where it is not for here."""

    def wants(self, headers: Headers) -> bool:
        """Whether a POST of these headers may be for here."""
        length = headers.get(b"content-length", b"")
        return (
            length.isdigit()
            and len(length) <= 8
            and int(length) <= self._most_bytes
            and b"transfer-encoding" not in headers
            and b"content-encoding" not in headers
            and b"expect" not in headers
            and b"upgrade" not in headers
            and is_raw(headers)
        )

    def _target(self, url: bytes) -> Target | None:
        path, _, query = url.partition(b"?")
        # Tasks that are named in the query have one path.
        found = None if b"#" in query else self._of_path(path)
        return None if found is None else Target(found.route, found.parts, found.path, query)

    def _target_of_path(self, raw_path: bytes) -> Target | None:
        if b"%" in raw_path or b"#" in raw_path or not raw_path.isascii():
            return None
        path = raw_path.decode()
        for route in self._routes:
            parts = route.parts(path)
            if parts is not None:
                return Target(route, parts, path, b"")
        return None


class DirectCall(ABC):
    """One request, from its head on; whoever has the connection says how an answer gets there."""

    __slots__ = (
        "_answer",
        "_begun",
        "_direct",
        "_headers",
        "_key",
        "_started",
        "_target",
        "_task",
        "_terms",
        "over",
        "refusal",
    )

    def __init__(self, direct: DirectAnswers, target: Target, headers: Headers) -> None:
        self._direct = direct
        self._target = target
        self._headers = headers
        self._started = perf_counter()
        self._begun: Begun | None = None
        self._answer: Callable[[Prediction], RawAnswer] | None = None
        self._task: str | None = None
        self._key: Key | None = None
        self._terms: Terms | None = None
        self.refusal: Exception | None = None
        """Why it will be refused whatever its body holds, which then need not be kept."""
        self.over = False
        """Whether it was answered, or its caller left."""

    @abstractmethod
    def reply(self, code: int, body: bytes, lines: Lines) -> None:
        """Send a status code, headers without a length, and a body."""

    def look(self, peer: str) -> None:
        """See whether there is room for its rows before they are there; the queue is crowded.

        So that what is refused costs those who are not little.
        """
        target, direct = self._target, self._direct
        try:
            body_bytes = int(self._headers[b"content-length"])
            rows = target.route.least_rows(target.query, target.parts, body_bytes)
            if rows:
                self._terms = self._admitted(peer)
                direct.predictor.check_room(rows, self._terms)
        except Exception as error:  # the boundary: whatever it is, the caller is told
            self.refusal = error

    def begin(self, body: bytes, peer: str) -> bool:
        """Let its rows wait, whose bytes came from the address `peer`.

        False, and nothing was done, where the application has to answer. Whatever is wrong with it
        is answered before this returns.
        """
        direct, target = self._direct, self._target
        try:
            if self.refusal is not None:
                raise self.refusal
            terms = self._terms or self._admitted(peer)
            request = RawRequest(self._headers, target.query, target.parts, body, terms.tenant)
            call = target.route.read(request)
            if call.task is None or call.timeout_ms is not None:
                return self._for_the_application()
            self._answer, self._task = call.answer, call.task
            self._begun = direct.predictor.begin(call.task, call.rows, terms, self, call.version)
        except Exception as error:  # the boundary: whatever it is, the caller is told
            direct.observer.begin()
            self._refuse(error)
            return True
        if self._begun is None:
            return self._for_the_application()
        direct.observer.begin()
        return True

    def done(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self.over

    def tell(self, outcome: Outcome) -> None:
        """Answer, by logits or what was wrong."""
        assert self._begun is not None
        assert self._answer is not None
        try:
            answer = self._answer(self._direct.predictor.end(self._begun, outcome))
        except Exception as error:  # the boundary: whatever it is, the caller is told
            self._refuse(error)
        else:
            name = self._direct.observer.name(self._headers)
            self._end(200, name)
            self.reply(200, answer.body, (*answer.headers, (b"x-request-id", name)))

    def leave(self) -> None:
        """Its caller is gone."""
        if self._begun is not None and not self.over:
            self._direct.predictor.leave(self._begun)
            self._end(CALLER_LEFT, self._direct.observer.name(self._headers))

    def _admitted(self, peer: str) -> Terms:
        direct = self._direct
        if direct.ring is not None:
            self._key = direct.ring.admitted(self._headers.get(b"authorization"), ASKING_SCOPES)
        caller = direct.proxies.caller(peer, self._headers)
        return terms_said(caller, self._headers, direct.timeout_ms, self._key)

    def _for_the_application(self) -> bool:
        # Which will count the request again.
        if self._key is not None:
            self._key.allowance.give_back_request()
        return False

    def _refuse(self, error: Exception) -> None:
        name = self._direct.observer.name(self._headers)
        status, headers, document = problem_in(error, self._target.path, name.decode())
        lines = [(key.lower().encode(), value.encode("latin-1")) for key, value in headers.items()]
        self._end(status, name)
        self.reply(status, document, (*lines, _PROBLEM, (b"x-request-id", name)))

    def _end(self, code: int, name: bytes) -> None:
        self.over = True
        # What was begun knows whom to tell, and an error where it was raised: such a circle each
        # time is garbage to be looked for.
        self._begun = self.refusal = None
        seconds = perf_counter() - self._started

        def about() -> Mapping[str, str | None]:
            return {"request_id": name.decode(), "task": self._task}

        self._direct.observer.end(self._target.route.path, "POST", code, seconds, about)
