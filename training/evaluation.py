"""How well a store's tasks do now, on data made again from what their artifacts say."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from model_store.manifest import short_fingerprint
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from training.artifacts import artifact_accuracy
from training.errors import DataError, StreamError
from training.image_sets import ImageSet, LabelledImages
from training.task_streams import TaskStream, stream_task

OnTask = Callable[[], None]


@dataclass(frozen=True)
class KnownTask:
    """A published task whose data can be made again, which happens anew at each call."""

    task_id: str
    artifact: TaskArtifact
    image_set: ImageSet
    stream: TaskStream
    index: int

    def same_data(self, other: "KnownTask") -> bool:
        """Whether both were made from the same images: then no input can tell them apart."""
        mine, others = self.stream.provenance(self.index), other.stream.provenance(other.index)
        return mine == others

    def held_out(self) -> LabelledImages:
        """The images that the task's settings were chosen by."""
        return self.stream.part(self.image_set, self.image_set.held_out, self.index)

    def test(self) -> LabelledImages:
        """The images that nothing was learned from or chosen by."""
        return self.stream.part(self.image_set, self.image_set.test, self.index)


@dataclass(frozen=True)
class TaskResult:
    """One task's measurements; accuracies are shares of its images."""

    task_id: str
    kind: str
    classes: int
    test_accuracy: float
    held_out_accuracy: float
    """Measured now."""
    published_accuracy: float
    """On the same held-out data, measured before the task was published."""
    tensor_bytes: int
    file_bytes: int

    @property
    def forgetting(self) -> float:
        """Held-out accuracy when published less that of now: zero, as nothing shared changes."""
        return self.published_accuracy - self.held_out_accuracy


def known_tasks(
    store: Store, image_set: ImageSet, limit: int | None = None
) -> tuple[list[KnownTask], dict[str, str]]:
    """The first `limit` tasks made from this data set, and why each other one is left out.

    Tasks come in the order of their names, numbers counted as numbers. Raises `DataError` where
    not one is of this data set.
    """
    fingerprint = short_fingerprint(image_set.fingerprint())
    known: list[KnownTask] = []
    left_out: dict[str, str] = {}
    for task_id in sorted(store.task_ids(), key=natural_order):
        if limit is not None and len(known) == limit:
            break
        artifact = store.load(task_id)
        provenance = artifact.record.provenance
        try:
            stream, index = stream_task(provenance)
            if provenance.get("data_fingerprint") != fingerprint:
                raise StreamError(f"made from other data: {provenance.get('data', 'unknown')}")
            stream.classes(image_set, index)
        except StreamError as error:
            left_out[task_id] = str(error)
            continue
        known.append(KnownTask(task_id, artifact, image_set, stream, index))
    if not known:
        raise DataError(f"no task of the store was made from {image_set.name}")
    return known, left_out


def natural_order(task_id: str) -> list[tuple[int, int | str]]:
    """A sort key by which `permuted-9` comes before `permuted-10`."""
    parts: list[tuple[int, int | str]] = []
    for digits, characters in groupby(task_id, key=str.isdecimal):
        text = "".join(characters)
        parts.append((0, int(text)) if digits else (1, text))
    return parts


def evaluate(
    store: Store, known: list[KnownTask], on_task: OnTask = lambda: None
) -> list[TaskResult]:
    """Measure every task by its artifact, as it lies in the store."""
    results = []
    preprocessing, device = store.network.manifest.preprocessing, store.network.device
    for task in known:
        held_out, test = (
            artifact_accuracy(store.network, task.artifact, part.examples(preprocessing, device))
            for part in (task.held_out(), task.test())
        )
        published = task.artifact.record.held_out_accuracy
        results.append(
            TaskResult(
                task_id=task.task_id,
                kind=task.artifact.kind,
                classes=len(task.artifact.record.classes),
                test_accuracy=test,
                held_out_accuracy=held_out,
                published_accuracy=held_out if published is None else published,
                tensor_bytes=task.artifact.tensor_bytes,
                file_bytes=len(task.artifact.content),
            )
        )
        on_task()
    return results
