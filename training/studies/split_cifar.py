"""Twenty tasks of five classes each of CIFAR-100, on a small residual network."""

from collections.abc import Sequence

from training.fitting import FitOptions
from training.starts import Start
from training.studies.claims import Claim, at_least
from training.studies.comparisons import against
from training.studies.learning_study import LearningStudy, Planned
from training.studies.measurement import Measurement, by_method, mean
from training.studies.methods import (
    COEFFICIENT_RATE,
    COEFFICIENT_RATES,
    MASK_RATES,
    partition,
    ranked,
    tuned_mask,
)
from training.task_streams import TaskStream

BACKBONE = "resnet-18-small"
STREAM = TaskStream("split", classes_per_task=5)
ACROSS = TaskStream("split", classes_per_task=4)
CHOOSING = ((ACROSS, 3), (ACROSS, 8))
"""Classes 12 to 15 and 32 to 35, which lie across two tasks each: none of the tasks measured."""

FULL_EPOCHS = 100
QUICK_EPOCHS = 6
QUICK_TASKS = (17, 18, 19)

SIZE = 3800
LEARNED_FROM = 17
"""Tasks whose training data the ranked bank has seen; the last three are new to it."""

FULL_SHARED_FIT, QUICK_SHARED_FIT = FitOptions(12, 1e-3), FitOptions(4, 1e-3)

LEAST_ACCURACY = 0.88
MOST_POINTS_BELOW = 3.0
MOST_BYTES_SHARE = 0.1

TEXT = """Task i has the classes 5i to 5i+4 of CIFAR-100. ResNet-18 with 20, 40, 80 and 160
channels, no augmentation. The file bytes of either kind count the task's own means and variances.
In the long report held-out data of two tasks of other classes chose the learning rates, in the
quick one nothing did. The ranked bank was learned from the training data of tasks 0 to 16. SupSup
(2006.14769) learns for 250 epochs with weight decay: another setting than this one."""


def split_cifar(full: bool) -> LearningStudy:
    """All twenty tasks; or three of them with few epochs and rates that nothing chose."""
    epochs = FULL_EPOCHS if full else QUICK_EPOCHS
    mask_rates, rates = (MASK_RATES, COEFFICIENT_RATES) if full else ((3e-3,), (COEFFICIENT_RATE,))
    ranked_rates = (0.02, 0.1) if full else (0.1,)
    mask = tuned_mask(epochs, mask_rates, BACKBONE)
    shared = partition(epochs, 512, "int4", rates, BACKBONE)
    coefficients = ranked(
        epochs,
        SIZE,
        "int2",
        STREAM,
        LEARNED_FROM,
        ranked_rates,
        BACKBONE,
        "classifier.weight",
        Start("origin"),
        FULL_SHARED_FIT if full else QUICK_SHARED_FIT,
    )

    def claims(data: str, measured: Sequence[Measurement]) -> list[Claim]:
        masks = by_method(measured).get(mask.name, [])
        accurate = at_least(
            f"split {data}: test accuracy of {mask.name}",
            mean(lambda one: one.accuracy, masks),
            LEAST_ACCURACY,
            "share",
        )
        compared = against(
            f"split {data}", measured, coefficients, mask, -MOST_POINTS_BELOW, MOST_BYTES_SHARE
        )
        # So few epochs cannot get that far.
        return [accurate, *compared] if full else compared

    tasks = range(20) if full else QUICK_TASKS
    return LearningStudy(
        "split-cifar",
        "Split CIFAR-100",
        TEXT,
        ("cifar100",),
        STREAM,
        CHOOSING,
        [Planned(method, tasks) for method in (mask, shared, coefficients)],
        claims,
    )
