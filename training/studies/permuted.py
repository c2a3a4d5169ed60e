"""Permuted tasks of two data sets: what a share of a dedicated mask's bytes buys."""

from collections.abc import Sequence

from training.studies.claims import Claim
from training.studies.comparisons import against
from training.studies.learning_study import LearningStudy, Planned
from training.studies.measurement import Measurement
from training.studies.methods import (
    COEFFICIENT_RATE,
    Method,
    paper_mask,
    partition,
    random_masks,
    tuned_mask,
)
from training.task_streams import TaskStream

EPOCHS = 8
STREAM = TaskStream("permuted")
CHOOSING = ((STREAM, 1_000_000), (STREAM, 1_000_001))

MASK = tuned_mask(EPOCHS)
BUDGETS: Sequence[tuple[Method, float, float]] = (
    (partition(EPOCHS, 1024, "int4"), -2.0, 0.05),
    (partition(EPOCHS, 4400, "int4"), 0.0, 0.20),
    (partition(EPOCHS, 6600, "int4"), 1.0, 0.30),
)
"""A method, the points of accuracy it has above the tuned mask at least, its share of the bytes."""

FURTHER = (
    partition(EPOCHS, 64, "fp16", (COEFFICIENT_RATE,)),
    partition(EPOCHS, 256, "fp16", (COEFFICIENT_RATE,)),
    partition(EPOCHS, 512, "int8", (COEFFICIENT_RATE,)),
    random_masks(EPOCHS, 64, 0.05),
)
"""For the figures: nothing is claimed of them, and their rate is not chosen."""

TEXT = """Each task has the pixels of the data set in another fixed order. LeNet-300-100; every
method sees the training data as often. Held-out data of two tasks that are not measured chose the
learning rates; the test data were read once, for this table."""


def permuted(full: bool) -> LearningStudy:
    """Ten unseen tasks and three seeds; or three tasks and one seed."""
    tasks, seeds = (range(10), range(3)) if full else (range(3), range(1))
    compared = (paper_mask(EPOCHS), MASK, *(method for method, _, _ in BUDGETS))
    plan = [Planned(method, tasks, seeds) for method in compared]
    plan += [Planned(method, tasks[: 3 if full else 1]) for method in FURTHER]
    return LearningStudy(
        "permuted",
        "Permuted tasks",
        TEXT,
        ("mnist", "fashion-mnist"),
        STREAM,
        CHOOSING,
        plan,
        claims,
    )


def claims(data: str, measured: Sequence[Measurement]) -> list[Claim]:
    """Each budget against the tuned mask."""
    return [
        claim
        for method, points, share in BUDGETS
        for claim in against(f"permuted {data}", measured, method, MASK, points, share)
    ]
