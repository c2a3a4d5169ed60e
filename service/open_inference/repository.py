"""The tasks as the Open Inference Protocol sees them: models with versions, of one repository.

Every face of that protocol asks here. Knows no transport, and keeps nothing of its own.
"""

from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain
from typing import Any, NamedTuple

from model_store.errors import UnknownTask
from service.engine.engine import Engine
from service.engine.registry.task_table import RegisteredTask
from service.errors import StaysLoaded

AUTO = "auto"
"""The name under which a model infers the task. The repository's index has it not."""

EXTENSIONS = ("classification", "binary_tensor_data", "model_repository", "sequence")


class IndexedModel(NamedTuple):
    """A model as the index shows it: READY, or UNAVAILABLE for a reason."""

    name: str
    version: str = ""
    state: str = "READY"
    reason: str = ""


def check_no_version(version: str | None) -> None:
    """Raises `UnknownTask` where a version of `auto` is named: it has none."""
    if version:
        raise UnknownTask(f"no version {version[:80]!r} of {AUTO!r}: it has none")


class ModelRepository:
    """Metadata, readiness and index of what a caller of a tenant sees.

    A version that is "" is the live one.
    """

    def __init__(self, engine: Engine) -> None:
        self._registry = engine.registry
        self._row_length = engine.network.manifest.preprocessing.row_length

    @staticmethod
    def server_metadata() -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return {"name": "impress", "version": version("impress"), "extensions": list(EXTENSIONS)}

    async def metadata(
        self, name: str, version: str = "", tenant: str | None = None
    ) -> dict[str, Any]:
        """Inputs and outputs of a model, -1 for a free dimension. Raises `UnknownTask`."""
        versions, classes = [], -1
        if name == AUTO:
            check_no_version(version)
        else:
            stored = self._registry.visible.name(name, tenant)
            task = await self._task(stored, version)
            versions = await self._registry.versions.of(stored)
            classes = len(task.classes)
        return {
            "name": name,
            "versions": versions,
            "platform": "impress_torch",
            "inputs": [{"name": "inputs", "datatype": "FP32", "shape": [-1, self._row_length]}],
            "outputs": [
                {"name": "logits", "datatype": "FP32", "shape": [-1, classes]},
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
                {"name": "labels", "datatype": "BYTES", "shape": [-1]},
            ],
        }

    async def check_ready(self, name: str, version: str = "", tenant: str | None = None) -> None:
        """Raises `UnknownTask` where the model cannot be predicted with."""
        if name == AUTO:
            check_no_version(version)
            if not self._registry.visible.snapshot(tenant):
                raise UnknownTask("no task is registered, so none can be inferred")
        else:
            await self._task(self._registry.visible.name(name, tenant), version)

    async def _task(self, stored: str, version: str) -> RegisteredTask:
        if version:
            return await self._registry.versions.get(stored, version)
        return self._registry.get(stored)

    def index(self, only_ready: bool = False, tenant: str | None = None) -> Iterator[IndexedModel]:
        """Every task in order of its name, then what cannot serve; may be read on any thread."""
        ready = self._registry.visible.snapshot(tenant)
        left_out = {} if only_ready else self._registry.visible.left_out(tenant)
        return chain(
            (IndexedModel(task.name, task.version) for task in ready),
            (
                IndexedModel(task_id, state="UNAVAILABLE", reason=why)
                for task_id, why in sorted(left_out.items())
            ),
        )

    async def load(self, name: str, tenant: str | None = None) -> None:
        """Take over now what the store has, rather than when it is next looked at.

        Raises `UnknownTask` where the task cannot serve then, and `StoreUnavailable`.
        """
        await self._registry.catch_up(thorough=False)
        if (why := self._registry.visible.left_out(tenant).get(name)) is not None:
            raise UnknownTask(f"task {name[:160]!r} cannot serve: {why}")
        self._registry.visible.get(name, tenant)

    def unload(self, name: str, tenant: str | None = None) -> None:
        """Raises `StaysLoaded`, or `UnknownTask`: there is no memory to be won from a task."""
        self._registry.visible.get(name, tenant)
        raise StaysLoaded(
            f"task {name[:160]!r} takes a kilobyte and stays in memory; DELETE /v1/tasks/{{task}} "
            "deletes one for good"
        )
