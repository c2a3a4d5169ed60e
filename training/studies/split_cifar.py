"""Twenty tasks of five classes each of CIFAR-100, on a small residual network."""

from collections.abc import Sequence

from training.studies.claims import Claim, at_least
from training.studies.comparisons import against
from training.studies.learning_study import LearningStudy, Planned
from training.studies.measurement import Measurement, by_method, mean
from training.studies.methods import (
    COEFFICIENT_RATE,
    COEFFICIENT_RATES,
    MASK_RATES,
    partition,
    tuned_mask,
)
from training.task_streams import TaskStream

BACKBONE = "resnet-18-small"
STREAM = TaskStream("split", classes_per_task=5)
ACROSS = TaskStream("split", classes_per_task=4)
CHOOSING = ((ACROSS, 3), (ACROSS, 8))
"""Classes 12 to 15 and 32 to 35, which lie across two tasks each: none of the tasks measured."""

FULL_EPOCHS = 100
QUICK_EPOCHS = 10
QUICK_TASKS = (17, 18, 19)

LEAST_ACCURACY = 0.88
MOST_POINTS_BELOW = 3.0
MOST_BYTES_SHARE = 0.1

TEXT = """Task i has the classes 5i to 5i+4 of CIFAR-100. ResNet-18 with 20, 40, 80 and 160
channels, no augmentation. The file bytes of either kind count the task's own means and variances.
In the long report held-out data of two tasks of other classes chose the learning rates, in the
quick one nothing did. SupSup (2006.14769) learns
for 250 epochs with weight decay: another setting than this one."""


def split_cifar(full: bool) -> LearningStudy:
    """All twenty tasks; or three of them with few epochs, of which less is claimed."""
    epochs = FULL_EPOCHS if full else QUICK_EPOCHS
    # Where nothing is claimed, no time is spent on choosing.
    mask_rates, rates = (MASK_RATES, COEFFICIENT_RATES) if full else ((3e-3,), (COEFFICIENT_RATE,))
    mask = tuned_mask(epochs, mask_rates, BACKBONE)
    coefficients = partition(epochs, 512, "int4", rates, BACKBONE)

    def claims(data: str, measured: Sequence[Measurement]) -> list[Claim]:
        if not full:
            return []
        masks = by_method(measured).get(mask.name, [])
        return [
            at_least(
                f"split {data}: test accuracy of {mask.name}",
                mean(lambda one: one.accuracy, masks),
                LEAST_ACCURACY,
                "share",
            ),
            *against(
                f"split {data}",
                measured,
                coefficients,
                mask,
                -MOST_POINTS_BELOW,
                MOST_BYTES_SHARE,
            ),
        ]

    tasks = range(20) if full else QUICK_TASKS
    return LearningStudy(
        "split-cifar",
        "Split CIFAR-100",
        TEXT,
        ("cifar100",),
        STREAM,
        CHOOSING,
        [Planned(method, tasks) for method in (mask, coefficients)],
        claims,
    )
