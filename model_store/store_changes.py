"""What changed in a store since somebody last looked: by whom and how often does not matter.

Names tasks that differ from what the looker holds, whatever it holds. Whoever takes every change
holds what a store that is opened now would hold. For one thread at a time.
"""

from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

from model_store.artifact_layout import LaidOut, LayoutReader
from model_store.canary import Canary
from model_store.entry_names import is_task, is_version, parted
from model_store.errors import CorruptArtifact, CorruptStore, StoreError
from model_store.segment_reader import check_content
from model_store.store import Store
from model_store.task_artifact import TaskArtifact

_ATTEMPTS = 5

Change = tuple[str, LaidOut | Canary | StoreError | None]
"""A task with its artifact, why that cannot serve, or None: there is no such task any more.

So too what is kept beside a task, by its entry's name: its canary, and versions that are gone.
"""


class Held(Protocol):
    """What the looker has of the store; asked of on the looking thread."""

    def names(self) -> Iterable[str]:
        """Of all tasks, those that cannot serve too, and of what is beside them; a copy."""

    def version_of(self, task_id: str) -> str | None:
        """The content hash of a task that serves, in hexadecimal."""


class StoreChanges:
    """Looks at a store for one looker."""

    def __init__(self, store: Store, held: Held) -> None:
        self._store = store
        self._held = held
        self._layouts = LayoutReader(store.network)

    def laid_out(self, artifact: TaskArtifact) -> LaidOut:
        """One artifact, as changes have it."""
        return self._layouts.read(artifact.content, bytes.fromhex(artifact.content_hash))

    def version(self, task_id: str, version: str) -> LaidOut:
        """One version of a task, current or kept. Raises as `Store.load_version` does."""
        return self.laid_out(self._store.load_version(task_id, version))

    def since_last(self, thorough: bool) -> Generator[Change, None, None]:
        """Tasks that were changed since the last time; all that differ, where need be or it is new.

        `thorough` looks at every byte that may have changed without an append: damage, or files put
        in another's place. Is to be taken to its end or closed; what was left is found the next
        time. Raises `CorruptStore`, or `OSError`.
        """
        log = self._store.log
        for _ in range(_ATTEMPTS):
            try:
                if thorough:
                    log.recheck()
                else:
                    log.refresh()
                yield from self._changes(log.take_touched())
            except (FileNotFoundError, CorruptArtifact):
                # Others compacted, or damaged, what was just found.
                log.forget()
            except BaseException:
                log.forget()
                raise
            else:
                return
        raise CorruptStore(f"it changed {_ATTEMPTS} times while it was read")

    def _changes(self, touched: set[str] | None) -> Iterator[Change]:
        log = self._store.log
        for name in self._held.names() if touched is None else self._of_interest(touched):
            if name not in log.current:
                yield name, None
        for entry, content in log.contents(touched):
            plain = is_task(entry.task_id)
            if not plain and is_version(parted(entry.task_id)[1]):
                continue  # read where it is asked for
            try:
                check_content(entry, content)
                if not plain:
                    yield entry.task_id, Canary.from_bytes(content)
                elif self._held.version_of(entry.task_id) != entry.content_hash.hex():
                    yield entry.task_id, self._layouts.read(content, entry.content_hash)
            except StoreError as error:
                yield entry.task_id, error

    def _of_interest(self, touched: set[str]) -> Iterable[str]:
        """Without versions that the looker does not hold, and of which nothing is to be told."""
        if all(map(is_task, touched)):
            return touched
        held = frozenset(self._held.names())
        return [one for one in touched if one in held or not is_version(parted(one)[1])]
