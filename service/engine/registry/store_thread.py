"""The one thread on which the store's disk and the table of tasks are touched."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from model_store.errors import CorruptStore
from service.errors import StoreUnavailable

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class StoreThread:
    """Asked on the event loop; whoever changes the store holds `change` meanwhile."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.change = asyncio.Lock()

    async def run(self, work: Callable[[], Result], quietly: bool = False) -> Result:
        """What the work gives. Raises what it raises, `StoreUnavailable` where the store cannot."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (OSError, CorruptStore) as error:
            if not quietly:
                _log.error("the store cannot be used: %s", error)
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreUnavailable(f"the store cannot be used now: {why}") from error
