"""Artifacts for tests: the type of the fixture that makes them, and tasks that are live by them."""

from collections.abc import Callable

from model_store.artifact_layout import LaidOut, LayoutReader
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from service.engine.registry.task_table import RegisteredTask, TaskTable

MakeArtifact = Callable[..., TaskArtifact]
"""Seed, kind and classes to an artifact."""


def laid_out(network: FrozenNetwork, artifact: TaskArtifact) -> LaidOut:
    """The artifact as a store of this network reads it."""
    return LayoutReader(network).read(artifact.content, bytes.fromhex(artifact.content_hash))


def registered(network: FrozenNetwork, task_id: str, artifact: TaskArtifact) -> RegisteredTask:
    """A live task, alone in a table of its own."""
    return TaskTable().add(task_id, laid_out(network, artifact))
