"""Uploads judged before anything is changed. Touches no store."""

from collections.abc import Callable

from model_store.compatibility import check_artifact, problems
from model_store.errors import InvalidTaskName, StoreError
from model_store.network import FrozenNetwork
from model_store.task_artifact import ArtifactParts, TaskArtifact
from model_store.task_names import checked_task_name
from service.engine.registry.store_thread import StoreThread

Parts = Callable[[], ArtifactParts]
"""Reads an upload, in whichever form it came."""


class Examination:
    """Of artifacts for one network; on the store's thread, since it takes a while."""

    def __init__(self, network: FrozenNetwork, thread: StoreThread) -> None:
        self._network = network
        self._thread = thread

    async def checked(self, parts: Parts) -> TaskArtifact:
        """An uploaded artifact that can serve here. Raises what is wrong with it first."""

        def checked() -> TaskArtifact:
            artifact = parts().whole()
            check_artifact(self._network, artifact)
            return artifact

        return await self._thread.run(checked)

    async def all_of(self, task_id: str, parts: Parts) -> tuple[TaskArtifact | None, list[str]]:
        """An artifact that could be published as that task, or None and all that is wrong."""

        def examined() -> tuple[TaskArtifact | None, list[str]]:
            found: list[StoreError] = []
            try:
                checked_task_name(task_id)
            except InvalidTaskName as error:
                found.append(error)
            read = parts()
            found += read.problems
            if read.tensors is not None:
                found += problems(self._network, read.record, read.tensors)
            return None if found else read.whole(), list(map(str, found))

        return await self._thread.run(examined)
