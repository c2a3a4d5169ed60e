"""Permuted tasks of two data sets: what a share of a dedicated mask's bytes buys."""

from collections.abc import Mapping, Sequence

from training.studies.claims import Claim
from training.studies.comparisons import bytes_share, points_above
from training.studies.learning_study import LearningStudy, Planned
from training.studies.measurement import Measurement
from training.studies.methods import (
    COEFFICIENT_RATE,
    Method,
    learned_masks,
    paper_mask,
    partition,
    random_masks,
    ranked,
    tuned_mask,
)
from training.task_streams import TaskStream

EPOCHS = 8
STREAM = TaskStream("permuted")
CHOOSING = ((STREAM, 1_000_000), (STREAM, 1_000_001))

MASK = tuned_mask(EPOCHS)
PAPER = paper_mask(EPOCHS)
OTHERS = TaskStream("permuted", seed=1)
"""Permutations that no measured task has, for the banks that are learned."""


def _ranked(size: int) -> Method:
    # Inputs in another order have nothing in common for the first layer to learn.
    return ranked(EPOCHS, size, "int2", OTHERS, 4, own_layers="hidden1.weight")


Budget = tuple[Method, float, float]
"""A method, the points of accuracy it has above a mask at least, its share of the bytes."""


def _budgets(smallest: int, middle: int, largest: int) -> Sequence[Budget]:
    return (
        (_ranked(smallest), -2.0, 0.05),
        (_ranked(middle), 0.0, 0.20),
        (_ranked(largest), 1.0, 0.30),
    )


# As many groups as those bytes hold. Fashion-MNIST's classes have names, which are bytes too.
BUDGETS: Mapping[str, Sequence[Budget]] = {
    "mnist": _budgets(3550, 17900, 27900),
    "fashion-mnist": _budgets(3250, 17600, 27600),
}

FURTHER = (
    partition(EPOCHS, 64, "fp16", (COEFFICIENT_RATE,)),
    partition(EPOCHS, 256, "fp16", (COEFFICIENT_RATE,)),
    partition(EPOCHS, 512, "int8", (COEFFICIENT_RATE,)),
    partition(EPOCHS, 1024, "int4", (0.05,)),
    partition(EPOCHS, 3180, "int2", (0.05,), spread="root"),
    partition(EPOCHS, 17600, "int2", (0.05,), spread="root"),
    random_masks(EPOCHS, 64, 0.05),
    learned_masks(EPOCHS, "heterogeneous", 8, OTHERS),
    learned_masks(EPOCHS, "atoms", 8, OTHERS),
)
"""For the figures: nothing is claimed of them, and their rate is not chosen."""

TEXT = """Each task has the pixels of the data set in another fixed order. LeNet-300-100; every
method sees a task's training data as often. Held-out data of tasks that are not measured (two of
them, one in the quick report) chose the learning rates; the test data were read once, for this
table. Learned banks come from other permutations still, which no row measures: they are shared by
all tasks, and their bytes are the store's. A ranked bank leaves the first layer random, as tasks
share nothing there."""


def permuted(full: bool) -> LearningStudy:
    """Ten unseen tasks and three seeds; or three of them, one seed, and one task to choose by."""
    tasks, seeds = range(10 if full else 3), range(3 if full else 1)
    plan = [Planned(method, tasks, seeds) for method in (PAPER, MASK)]
    for data, budgets in BUDGETS.items():
        plan += [Planned(method, tasks, seeds, (data,)) for method, _, _ in budgets]
    plan += [Planned(method, tasks[: 3 if full else 1]) for method in FURTHER]
    return LearningStudy(
        "permuted",
        "Permuted tasks",
        TEXT,
        tuple(BUDGETS),
        STREAM,
        CHOOSING if full else CHOOSING[:1],
        plan,
        claims,
    )


def claims(data: str, measured: Sequence[Measurement]) -> list[Claim]:
    """Each budget against the tuned mask, and against the mask as SupSup learns it."""
    where = f"permuted {data}"
    found = []
    for method, points, share in BUDGETS[data]:
        found += [points_above(where, measured, method, mask, points) for mask in (MASK, PAPER)]
        found.append(bytes_share(where, measured, method, MASK, share))
    return found
