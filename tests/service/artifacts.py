"""The type of the `make_artifact` fixture: seed, kind and classes to an artifact."""

from collections.abc import Callable

from model_store.task_artifact import TaskArtifact

MakeArtifact = Callable[..., TaskArtifact]
