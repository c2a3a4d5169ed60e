"""Many tasks, one after the other, into one store; one that is published is not learned again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from model_store.store import Store
from training.artifacts import Provenance, Recipe
from training.errors import OptionError
from training.fitting import OnStep
from training.image_sets import ImageSet
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

    def steps(self) -> int:
        """Optimiser steps that learning takes."""
        return self.recipe.steps(self.stream.training_images(self.image_set, self.index))


def plan_tasks(
    image_set: ImageSet,
    stream: TaskStream,
    indices: Iterable[int],
    recipe_for: RecipeFor,
    task_id: str | None = None,
) -> list[PlannedTask]:
    """The tasks of these indices, named by the stream unless `task_id` is given.

    Raises `StreamError` where the stream has no such task.
    """
    fingerprint = image_set.fingerprint()
    planned = []
    for index in indices:
        stream.classes(image_set, index)
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
            )
        )
    return planned


def unpublished(store: Store, planned: Iterable[PlannedTask]) -> list[PlannedTask]:
    """Those tasks that the store does not hold.

    Raises `OptionError` where it holds one of that name that was made in another way.
    """
    left = []
    for task in planned:
        if store.current_hash(task.task_id) is None:
            left.append(task)
            continue
        stored = store.load(task.task_id).record.provenance
        wanted = {**task.data_provenance, **task.recipe.provenance()}
        for key, value in wanted.items():
            if stored.get(key) != value:
                raise OptionError(
                    f"the store's task {task.task_id} was made with {key} {stored.get(key)!r}, "
                    f"not {value!r}"
                )
    return left


def publish_tasks(
    store: Store,
    planned: Iterable[PlannedTask],
    on_task: Callable[[PlannedTask], None] = lambda _: None,
    on_step: OnStep = lambda: None,
) -> None:
    """Learn and publish each task in turn; `on_task` is called before each.

    Each is whole in the store before the next begins, so a killed run loses one task at most.
    """
    for task in planned:
        on_task(task)
        data = task.stream.task(task.image_set, task.index)
        artifact = task.recipe.learn(store.network, data, task.data_provenance, on_step)
        store.publish(task.task_id, artifact)
