"""One task learned in one way: what the ledger says of it, by name and type."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from training.studies.ledger import Entry

Purpose = Literal["choosing", "measuring"]


@dataclass(frozen=True)
class Measurement:
    """Accuracies are shares of the images; test data are not read while a rate is chosen."""

    study: str
    data: str
    task: int
    purpose: Purpose
    method: str
    kind: str
    """`coefficients`, `hybrid` or `supermask`."""
    bank: str
    size: int
    """K; it says nothing of a supermask."""
    seed: int
    epochs: int
    learning_rate: float
    start: str
    test_accuracy: float | None
    held_out_accuracy: float
    tensor_bytes: int
    file_bytes: int
    """The whole artifact as it lies in a store: record, tensors and statistics."""
    seconds: float
    """Of learning."""
    curve: tuple[float, ...]
    """Held-out accuracy after each epoch."""
    machine: str

    @classmethod
    def of(cls, entry: Entry) -> "Measurement":
        """The measurement of an entry that `jobs` wrote."""
        asked, got = entry.asked, entry.got
        recipe, bank = asked["recipe"], asked["store"]
        return cls(
            study=asked["study"],
            data=asked["data"],
            task=asked["stream"]["index"],
            purpose=asked["purpose"],
            method=asked["method"],
            kind=recipe["kind"],
            bank=bank["kind"],
            size=bank["size"],
            seed=recipe["seed"],
            epochs=recipe["epochs"],
            learning_rate=recipe["learning_rate"],
            start=recipe["start"],
            test_accuracy=got["test_accuracy"],
            held_out_accuracy=got["held_out_accuracy"],
            tensor_bytes=got["tensor_bytes"],
            file_bytes=got["file_bytes"],
            seconds=got["seconds"],
            curve=tuple(got["curve"]),
            machine=entry.machine,
        )

    @property
    def accuracy(self) -> float:
        """Of the test data. Raises `ValueError` where they were not read."""
        if self.test_accuracy is None:
            raise ValueError(f"{self.method} was learned to choose a rate: test data were not read")
        return self.test_accuracy


Of = Callable[[Measurement], float]


def mean(of: Of, measured: Sequence[Measurement]) -> float | None:
    """Over tasks and seeds; None of none."""
    return statistics.fmean(map(of, measured)) if measured else None


def spread(of: Of, measured: Sequence[Measurement]) -> float:
    """Deviation over tasks and seeds."""
    return statistics.pstdev(map(of, measured))


def by_method(measured: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """The measurements of each method, in the order in which methods first occur."""
    found: dict[str, list[Measurement]] = {}
    for one in measured:
        found.setdefault(one.method, []).append(one)
    return found


def paired(of: Of, first: Sequence[Measurement], second: Sequence[Measurement]) -> float | None:
    """Mean of first less second over the tasks and seeds that both have; None where none has."""
    others = {(one.task, one.seed): one for one in second}
    differences = [
        of(one) - of(others[one.task, one.seed]) for one in first if (one.task, one.seed) in others
    ]
    return statistics.fmean(differences) if differences else None
