"""The client for asyncio: `AsyncClient`, which is `client.blocking` with `await`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from client import prediction_calls, server_calls, task_calls, version_calls
from client.attempts import Attempts, Call
from client.connection import DEFAULT_URL, Connection
from client.errors import Unavailable
from client.inputs import Inputs, RowsLike
from client.questions import PLAIN_QUESTION, Question
from client.results import (
    Alias,
    Prediction,
    Probabilities,
    Pushed,
    Readiness,
    RowPrediction,
    ServerInfo,
    Task,
    TaskDetails,
    TaskPage,
    Trial,
    Version,
    Warmth,
)
from client.retries import Retries

Result = TypeVar("Result")

_PAGE = 1000


class AsyncClient:
    """A service at an address. Every method raises `client.errors.ClientError`, and no other."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_seconds: float | None = 30,
        retries: Retries | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.connection = Connection(url, api_key, timeout_seconds, retries or Retries())
        self._http = httpx2.AsyncClient(
            base_url=url, headers=self.connection.headers, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every connection."""
        await self._http.aclose()

    async def predict(
        self,
        inputs: Inputs,
        task: str | None = None,
        version: str | None = None,
        *,
        question: Question = PLAIN_QUESTION,
        timeout_seconds: float | None = None,
    ) -> Prediction:
        """A label for each row, or for a picture; without a task the service infers it.

        Without a version of the task the live one answers, or its canary.

        `inputs` is `[n, ...]` or one row of intensities in 0..1, or a Pillow image; `question` says
        how to infer. What comes later than `timeout_seconds`, the client's own unless given here,
        is not computed.
        """
        call = prediction_calls.predict(inputs, task, version, question)
        return await self._sent(call, timeout_seconds)

    async def predict_each(
        self,
        rows: RowsLike,
        *,
        question: Question = PLAIN_QUESTION,
        timeout_seconds: float | None = None,
    ) -> tuple[RowPrediction, ...]:
        """A task and a label for each row by itself, where they may be of different tasks."""
        return await self._sent(prediction_calls.predict_each(rows, question), timeout_seconds)

    async def probabilities(
        self,
        rows: RowsLike,
        task: str | None = None,
        version: str | None = None,
        *,
        question: Question = PLAIN_QUESTION,
        timeout_seconds: float | None = None,
    ) -> Probabilities:
        """Every class's probability for each row, in binary both ways."""
        call = prediction_calls.probabilities(rows, task, version, question)
        return await self._sent(call, timeout_seconds)

    async def row_length(self) -> int:
        """How many numbers a row has, whatever its task."""
        return await self._sent(prediction_calls.row_length())

    async def push(self, task: str, artifact: bytes, tags: Sequence[str] = ()) -> Pushed:
        """Upload a task artifact (safetensors); it answers from the next request on.

        Tags take the place of its own, which makes it another version.
        """
        return await self._sent(task_calls.push(task, artifact, tags))

    async def page(
        self,
        limit: int = 100,
        cursor: str = "",
        names: Sequence[str] = (),
        *,
        tags: Sequence[str] = (),
        prefix: str | None = None,
    ) -> TaskPage:
        """At most `limit` tasks after `cursor`'s; of these names alone, where there are any.

        Only such as have all of the tags, and a name that begins with the prefix.
        """
        return await self._sent(task_calls.page(limit, cursor, names, tags, prefix))

    async def tasks(
        self, *, tags: Sequence[str] = (), prefix: str | None = None
    ) -> AsyncIterator[Task]:
        """Every task in order of their names, or such as `page` says, fetched a page at a time."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self.page(_PAGE, cursor, tags=tags, prefix=prefix)
            for task in page.tasks:
                yield task
            cursor = page.next_cursor

    async def show(self, task: str) -> TaskDetails:
        """One task, and how much it was used."""
        return await self._sent(task_calls.show(task))

    async def delete(self, task: str) -> None:
        """Delete a task for good."""
        await self._sent(task_calls.delete(task))

    async def validate(self, task: str, artifact: bytes) -> Trial:
        """All that keeps an artifact from being pushed as that task; changes nothing."""
        return await self._sent(version_calls.validate(task, artifact))

    async def warm(self, task: str) -> Warmth:
        """Compose a task's weights now, before it is asked for."""
        return await self._sent(version_calls.warm(task))

    async def versions(self, task: str) -> tuple[Version, ...]:
        """A task's versions: the live one last, before it the one kept latest."""
        return (await self._sent(version_calls.versions(task))).versions

    async def artifact(self, task: str, version: str) -> bytes:
        """A version as it was pushed."""
        return await self._sent(version_calls.artifact(task, version))

    async def rollback(self, task: str, version: str | None = None) -> Alias:
        """Let a version answer again: the one before the live one unless it is named."""
        if version is not None:
            return await self._sent(version_calls.move(task, version))
        found = await self.versions(task)
        return await self._sent(version_calls.move_back(task, found))

    async def canary(self, task: str, version: str, share: float) -> Alias:
        """Let a version answer a share of a task's requests, the same ones each time."""
        return await self._sent(version_calls.try_out(task, version, share))

    async def end_canary(self, task: str) -> None:
        """Let a task's live version answer all of its requests again."""
        await self._sent(version_calls.end_trial(task))

    async def alive(self) -> None:
        """Return where the process answers at all; raise where it does not."""
        await self._sent(server_calls.alive())

    async def ready(self) -> Readiness:
        """Whether the service takes requests, and if not why."""
        try:
            return await self._sent(server_calls.ready())
        except Unavailable as refused:
            return server_calls.unready(refused.problem)

    async def server(self) -> ServerInfo:
        """Which server this is."""
        return await self._sent(server_calls.server())

    async def metrics(self) -> str:
        """The metrics, as Prometheus' text."""
        return await self._sent(server_calls.metrics())

    async def plan(self) -> dict[str, Any]:
        """How the service computes its batches, in its own words."""
        return await self._sent(server_calls.plan())

    async def _sent(self, call: Call[Result], timeout_seconds: float | None = None) -> Result:
        mine = self.connection
        seconds = mine.timeout_seconds if timeout_seconds is None else timeout_seconds
        attempts = Attempts(call, mine.url, mine.retries, seconds)
        while True:
            request = attempts.request(self._http)
            try:
                response = await self._http.send(request)
            except httpx2.RequestError as error:
                wait_seconds = attempts.failed(error)
            else:
                if response.is_success:
                    return call.read(response)
                wait_seconds = attempts.refused(response)
            await asyncio.sleep(wait_seconds)
