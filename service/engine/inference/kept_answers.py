"""What was found out lately, by the rows' content: the same question again costs no search.

Kept until any task changes. Knows no queue, and judges nothing.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np

from service.engine.inference.identification import Candidate, Identification
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask
from service.watching.kept_answers_telemetry import KeptAnswersTelemetry

Found = tuple[Identification, ...]

_MOST_HASHED_BYTES = 1 << 20
"""Of a question's rows; to look at more would hold up the event loop for a millisecond."""

_BYTES_A_CANDIDATE = 256
"""Of the objects themselves, about."""

_NO_LOGITS = np.empty((0, 0), np.float32)


class KeptAnswers:
    """Lives on the event loop; within `most_bytes`, those asked for longest ago go first."""

    def __init__(self, most_bytes: int, telemetry: KeptAnswersTelemetry) -> None:
        self._most_bytes = most_bytes
        self._telemetry = telemetry
        self._every: Sequence[RegisteredTask] | None = None
        self._kept: dict[Hashable, tuple[Found, int]] = {}
        self._bytes = 0

    def key(self, rows: Rows, asked: Hashable) -> Hashable | None:
        """Under what the answer is kept; None where it is not. `asked` is all that it depends on.

        Beside the rows and the tasks.
        """
        if not self._most_bytes or rows.nbytes > _MOST_HASHED_BYTES:
            return None
        content = np.ascontiguousarray(rows)
        return blake2b(content.data, digest_size=16).digest(), rows.shape, asked

    def find(self, key: Hashable | None, every: Sequence[RegisteredTask]) -> Found | None:
        """What is kept, where no task changed since; `every` is another object where one did."""
        if key is None:
            return None
        if every is not self._every:
            self._drop_all()
            self._every = every
        self._telemetry.queries.inc()
        kept = self._kept.pop(key, None)
        if kept is None:
            return None
        self._telemetry.hits.inc()
        self._kept[key] = kept
        return kept[0]

    def keep(self, key: Hashable | None, every: Sequence[RegisteredTask], found: Found) -> None:
        """Keep what was found among these, unless a task changed meanwhile."""
        if key is None or every is not self._every or key in self._kept:
            return
        slim = tuple(map(_slim, found))
        size = sum(map(_size, slim))
        if size > self._most_bytes:
            return
        self._kept[key] = slim, size
        self._bytes += size
        while self._bytes > self._most_bytes:
            _, dropped = self._kept.pop(next(iter(self._kept)))
            self._bytes -= dropped
        self._telemetry.bytes.set(self._bytes)

    def _drop_all(self) -> None:
        self._kept.clear()
        self._bytes = 0
        self._telemetry.bytes.set(0)


def _slim(found: Identification) -> Identification:
    # Copied, since they are parts of what was computed for all candidates together.
    best = replace(found.best, logits=found.best.logits.copy())
    others = (Candidate(one.task, one.entropy_nats, _NO_LOGITS) for one in found.candidates[1:])
    return replace(found, candidates=(best, *others))


def _size(found: Identification) -> int:
    return found.best.logits.nbytes + _BYTES_A_CANDIDATE * len(found.candidates)
