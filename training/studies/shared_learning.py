"""Tasks of several streams learned into one store of a report, by as many processes as join in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from training.evaluation import KnownTask
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.stores import StoreChoices, create_store, open_store
from training.studies.busy import only_here
from training.studies.jobs import STORES_FOLDER
from training.studies.study import Bench
from training.task_streams import TaskStream

NO_IMPRESSIONS = FitOptions(1, 0.1)
"""For a bank that comes from its seed."""


@dataclass(frozen=True)
class Tasks:
    """The first so many tasks of a stream of a data set."""

    data: str
    stream: TaskStream
    count: int

    def task_id(self, index: int) -> str:
        """The task's name, in a store of several data sets."""
        return f"{self.data}-{self.stream.task_id(index)}"


Learn = Callable[[Store, ImageSet, TaskStream, int], TaskArtifact]
"""A task's artifact, for a store, from a data set's stream and the task's index."""


def learned_tasks(
    bench: Bench,
    name: str,
    choices: StoreChoices,
    groups: Sequence[Tasks],
    images: Mapping[str, ImageSet],
    learn: Learn,
) -> tuple[Store, list[KnownTask]] | None:
    """The report's store of that name and all tasks in it; None while others are at some of them.

    Learns what is missing and nobody is at. The first group's data set makes the network.
    """
    folder = bench.folder / STORES_FOLDER / name
    store = _store(bench, folder, name, choices, images[groups[0].data], groups[0].stream)
    if store is None:
        return None
    for group in groups:
        for index in range(group.count):
            task_id = group.task_id(index)
            if store.current_hash(task_id) is not None:
                continue
            with only_here(bench.folder, f"{name}-{task_id}") as alone:
                # Others may have published it since.
                if alone and task_id not in store.task_ids():
                    store.publish(task_id, learn(store, images[group.data], group.stream, index))
                    bench.say(f"{name}: learned {task_id}")
    there = set(store.task_ids())
    known = [
        KnownTask(
            group.task_id(index),
            store.load(group.task_id(index)),
            images[group.data],
            group.stream,
            index,
        )
        for group in groups
        for index in range(group.count)
        if group.task_id(index) in there
    ]
    return (store, known) if len(known) == sum(group.count for group in groups) else None


def _store(
    bench: Bench,
    folder: Path,
    name: str,
    choices: StoreChoices,
    image_set: ImageSet,
    stream: TaskStream,
) -> Store | None:
    with only_here(bench.folder, name) as alone:
        if not alone:
            return None
        return open_store(folder, bench.device) or create_store(
            folder, choices, image_set, stream, lambda _: NO_IMPRESSIONS, device=bench.device
        )
