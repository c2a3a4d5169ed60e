"""All live tasks' tensors in arrays: for each layout of artifacts a column a tensor, a row a task.

A row is written before anyone can read it, and not again until nobody can: what reads it is the
task's `RegisteredTask`, and the row is free when that is gone.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import time
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.artifact_layout import ArtifactLayout, LaidOut, class_names
from model_store.task_artifact import TaskKind
from model_store.task_names import name_for_clients
from model_store.task_tags import parted_tags
from service.engine.registry.shared_arrays import SharedArrays
from service.engine.registry.task_rows import TaskRows


class RegisteredTask:
    """A live task. A replaced task is a new object, so a reader keeps one version throughout."""

    __slots__ = (
        "_classes",
        "_row",
        "_rows",
        "last_predicted",
        "retired",
        "rows_predicted",
        "said_tags",
        "task_id",
    )

    def __init__(self, task_id: str, classes: str, tags: str, rows: TaskRows, row: int) -> None:
        self.task_id = task_id
        self.rows_predicted = 0
        self.last_predicted: int | None = None
        """In seconds since 1970, whole, since there are very many tasks; None: never."""
        self.retired = False
        """Whether another version serves in its place, or none."""
        self.said_tags = tags
        """As one text, the same object for all tasks with these."""
        self._classes = classes
        self._rows = rows
        self._row = row

    def __del__(self) -> None:
        self._rows.free.append(self._row)

    def count(self, rows: int) -> None:
        """So many rows were predicted now."""
        self.rows_predicted += rows
        self.last_predicted = int(time())

    @property
    def name(self) -> str:
        """What its clients call it; `task_id` is what the store does."""
        return name_for_clients(self.task_id)

    @property
    def version(self) -> str:
        """The artifact's content hash, in hexadecimal."""
        block, within = self._rows.place(self._row)
        return bytes(block.hashes[within]).hex()

    @property
    def content_hash(self) -> str:
        """The version, under the name that an artifact has for it."""
        return self.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Label names, in the order of the outputs."""
        return class_names(self._classes)

    @property
    def tags(self) -> tuple[str, ...]:
        """In order."""
        return parted_tags(self.said_tags)

    @property
    def kind(self) -> TaskKind:
        """What its tensors are."""
        return self._rows.layout.kind

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """As the task's artifact has them; copies, which may be kept longer than the task."""
        block, within = self._rows.place(self._row)
        return {
            tensor.name: torch.from_numpy(column[within].copy())
            for column, tensor in zip(block.columns, self._rows.layout.tensors, strict=True)
        }

    def array(self, name: str) -> NDArray[Any] | None:
        """The tensor of that name as it lies in the table: for who holds the task, and to read."""
        index = self._rows.layout.index_of.get(name)
        if index is None:
            return None
        block, within = self._rows.place(self._row)
        found: NDArray[Any] = block.columns[index][within]
        return found

    @property
    def layout(self) -> ArtifactLayout:
        """The form of its tensors; the same object for every task of that form."""
        return self._rows.layout

    @property
    def artifact_bytes(self) -> int:
        """Of the whole artifact."""
        block, within = self._rows.place(self._row)
        return int(block.artifact_bytes[within])

    @property
    def tensor_bytes(self) -> int:
        """Of its tensors alone."""
        return self._rows.layout.tensor_bytes


class StackedTasks:
    """Tasks of one layout, each tensor a row a task, `[T, ...]`; copied when it is asked for.

    Raises `ValueError` where they have not one layout.
    """

    def __init__(self, tasks: Sequence[RegisteredTask]) -> None:
        self._tasks = tasks  # whose rows stay as they are while somebody has them
        self._places = [task._rows.place(task._row) for task in tasks]
        self.layout = tasks[0].layout
        if len(tasks) > 1 and any(task._rows.layout is not self.layout for task in tasks):
            raise ValueError("expected tasks of one layout, got several")

    @property
    def kind(self) -> TaskKind:
        """Of each of them."""
        return self.layout.kind

    def array(self, name: str) -> NDArray[Any] | None:
        """The tensor of that name, where there is one."""
        index = self.layout.index_of.get(name)
        if index is None:
            return None
        place = self.layout.tensors[index]
        column = np.empty((len(self._tasks), *place.shape), place.dtype)
        for row, (block, within) in zip(column, self._places, strict=True):
            row[...] = block.columns[index][within]
        return column

    def addresses(self, index: int) -> list[int]:
        """Where each task's tensor of that place in the layout lies, while this object is kept."""
        return [block.address(index, within) for block, within in self._places]


class TaskTable:
    """The arrays; written by one thread at a time, read by any."""

    def __init__(self, shared: SharedArrays | None = None) -> None:
        # Held by its tasks alone: a mask of a size of its own leaves nothing behind.
        self._rows: WeakValueDictionary[ArtifactLayout, TaskRows] = WeakValueDictionary()
        self._sealed: WeakSet[TaskRows] = WeakSet()
        self._shared = shared
        self._filled_into: SharedArrays | None = None

    @contextmanager
    def filling(self) -> Iterator[None]:
        """What is added meanwhile is shared with processes that add the same, and not read yet.

        What is added later is this process's own, so that its rows can be used again.
        """
        self._filled_into = shared = self._shared
        try:
            yield
        finally:
            self._filled_into = None
        if shared is not None:
            for rows in list(self._rows.values()):
                self._seal(rows, shared)
            shared.sweep()

    def add(self, task_id: str, laid_out: LaidOut) -> RegisteredTask:
        """Copy an artifact's tensors to a row of their own."""
        rows = self._rows.get(laid_out.layout)
        if rows is None:
            rows = self._rows[laid_out.layout] = TaskRows(laid_out.layout)
        # Most tasks have classes and tags in common with others, and so the text that says them.
        classes, tags = sys.intern(laid_out.classes), sys.intern(laid_out.tags)
        added = RegisteredTask(task_id, classes, tags, rows, rows.write(laid_out))
        shared = self._filled_into
        if shared is not None and rows.may_end(laid_out.content_hash, shared.mean_bytes):
            self._seal(rows, shared)
        return added

    def _seal(self, rows: TaskRows, shared: SharedArrays) -> None:
        if shared.usable and rows.seal(shared):
            del self._rows[rows.layout]
            self._sealed.add(rows)

    @property
    def row_count(self) -> int:
        """Of all layouts, free rows too."""
        return sum(rows.taken for rows in (*self._rows.values(), *self._sealed))
