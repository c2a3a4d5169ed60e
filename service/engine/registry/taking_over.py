"""What others changed in a store, in memory as it will serve. Runs on the store's thread."""

from collections.abc import Generator
from itertools import islice

from model_store.artifact_layout import LaidOut
from model_store.canary import Canary
from model_store.entry_names import parted
from model_store.errors import CorruptStore, StoreError
from model_store.store_changes import Change, StoreChanges
from service.engine.registry.canaries import ServingCanary
from service.engine.registry.live_tasks import Taken
from service.engine.registry.task_table import RegisteredTask, TaskTable


class TakingOver:
    """From a store's changes to rows of the table."""

    def __init__(self, changes: StoreChanges, table: TaskTable) -> None:
        self._changes = changes
        self._table = table

    def some(self, changes: Generator[Change, None, None], most: int) -> list[Taken]:
        """The next of them; none at the end. Raises what they raise, and ends them then."""
        try:
            return [(name, self._serving(name, one)) for name, one in islice(changes, most)]
        except BaseException:
            changes.close()
            raise

    def canary(self, task_id: str, canary: Canary) -> ServingCanary:
        """A canary with its version in memory. Raises as `Store.load_version` does."""
        laid_out = self._changes.version(task_id, canary.version)
        return ServingCanary(self._table.add(task_id, laid_out), canary.share)

    def _serving(
        self, name: str, found: LaidOut | Canary | StoreError | None
    ) -> RegisteredTask | ServingCanary | StoreError | None:
        if isinstance(found, LaidOut):
            return self._table.add(name, found)
        if not isinstance(found, Canary):
            return found
        try:
            return self.canary(parted(name)[0], found)
        except CorruptStore:
            raise
        except StoreError as error:
            return error
