"""Many tasks, one after the other, into one store; one that is published is not learned again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from model_store.manifest import short_fingerprint
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from training.artifacts import Recipe
from training.errors import DataError, OptionError
from training.evidence import with_evidence
from training.fitting import OnStep
from training.image_sets import ImageSet
from training.provenance import Provenance, restored
from training.run_records import OnTaskEpoch
from training.task_streams import TaskStream

RecipeFor = Callable[[int], Recipe]
"""The recipe for a task of so many training images."""


@dataclass(frozen=True)
class PlannedTask:
    """A task that is to be published: its data, its name, and how it is learned."""

    image_set: ImageSet
    stream: TaskStream
    index: int
    task_id: str
    recipe: Recipe
    data_provenance: Provenance
    earlier: tuple[str, ...] = ()
    """Names of the tasks that come before it, which its recipe may start from."""

    def steps(self) -> int:
        """Optimiser steps that learning takes."""
        return self.recipe.steps(self.stream.training_images(self.image_set, self.index))


def plan_tasks(
    image_set: ImageSet,
    stream: TaskStream,
    indices: Iterable[int],
    recipe_for: RecipeFor,
    task_id: str | None = None,
    earlier: Sequence[str] = (),
) -> list[PlannedTask]:
    """The tasks of these indices, named by the stream unless `task_id` is given.

    Each comes after those before it in the plan, and the first after `earlier`. Raises
    `StreamError` where the stream has no such task, `DataError` where one has images of fewer than
    two classes.
    """
    fingerprint = short_fingerprint(image_set.fingerprint())
    planned: list[PlannedTask] = []
    for index in indices:
        check_learnable(stream.class_counts(image_set, index), task_id or stream.task_id(index))
        planned.append(
            PlannedTask(
                image_set,
                stream,
                index,
                task_id or stream.task_id(index),
                recipe_for(stream.training_images(image_set, index)),
                {
                    "data": image_set.name,
                    "data_fingerprint": fingerprint,
                    **stream.provenance(index),
                },
                (*earlier, *(task.task_id for task in planned)),
            )
        )
    return planned


def check_learnable(class_counts: Mapping[str, int], task_id: str) -> None:
    """Raise `DataError` on training images of fewer than two classes: there is nothing to learn."""
    if sum(count > 0 for count in class_counts.values()) < 2:
        raise DataError(
            f"{task_id}: a task tells two or more classes apart, got training images of "
            f"{', '.join(repr(name) for name, count in class_counts.items() if count) or 'none'}"
        )


def unpublished(store: Store, planned: Iterable[PlannedTask]) -> list[PlannedTask]:
    """Those tasks that the store does not hold.

    Raises `OptionError` where it holds one of that name that was made in another way.
    """
    left = []
    for task in planned:
        if store.current_hash(task.task_id) is None:
            left.append(task)
            continue
        stored = restored(store.load(task.task_id))
        wanted = {**task.data_provenance, **task.recipe.provenance()}
        for key, value in wanted.items():
            if stored.get(key) != value:
                raise OptionError(
                    f"the store's task {task.task_id} was made with {key} {stored.get(key)!r}, "
                    f"not {value!r}"
                )
    return left


def earlier_tasks(store: Store, task: PlannedTask) -> list[TaskArtifact]:
    """The artifacts that the task's recipe starts from, in their order; none if it asks for none.

    The plan decides which, not what else the store holds: a run that goes on after it was killed
    starts its tasks where an unbroken one does.
    """
    if not task.recipe.from_earlier_tasks:
        return []
    return [store.load(task_id) for task_id in task.earlier]


def publish_tasks(
    store: Store,
    planned: Iterable[PlannedTask],
    on_task: Callable[[PlannedTask], None] = lambda _: None,
    on_step: OnStep = lambda: None,
    on_epoch: OnTaskEpoch = lambda _, __: None,
    evidence: bool = False,
) -> None:
    """Learn and publish each task in turn; `on_task` is called before each.

    With evidence of its inputs on request, which its record does not mention: the tensor is there.

    `on_epoch` hears each epoch with the name of its task.

    Each is whole in the store before the next begins, so a killed run loses one task at most.
    """
    for task in planned:
        on_task(task)
        data = task.stream.task(task.image_set, task.index)
        earlier = earlier_tasks(store, task)
        artifact = task.recipe.learn(
            store.network,
            data,
            task.data_provenance,
            on_step,
            earlier,
            partial(on_epoch, task.task_id),
        )
        if evidence:
            artifact = with_evidence(store.network, artifact, data)
        store.publish(task.task_id, artifact)
