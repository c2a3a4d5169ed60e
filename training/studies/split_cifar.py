"""Twenty tasks of five classes each of CIFAR-100, on a small residual network."""

from collections.abc import Sequence
from dataclasses import replace

from training.fitting import FitOptions
from training.starts import Start
from training.studies.claims import Claim, at_least
from training.studies.comparisons import against
from training.studies.learning_study import LearningStudy, Planned
from training.studies.measurement import Measurement, by_method, mean
from training.studies.methods import (
    COEFFICIENT_RATE,
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

FULL_EPOCHS, QUICK_EPOCHS = 75, 6
QUICK_TASKS = (17, 18, 19)

SIZE = 3800
HALF = 10
"""Tasks; each half of them is learned over a bank ranked by the other."""

FULL_SHARED_FIT = FitOptions(30, 1e-3, augmentation="crop-flip")
QUICK_SHARED_FIT = FitOptions(4, 1e-3)

LEAST_ACCURACY = 0.88
MOST_POINTS_BELOW = 3.0
MOST_BYTES_SHARE = 0.1

TEXT = """Task i has the classes 5i to 5i+4 of CIFAR-100. ResNet-18 with 20, 40, 80 and 160
channels. The file bytes of either kind count the task's own means and variances. The ranked bank of
tasks 0 to 9 was learned from the training data of tasks 10 to 19, and theirs from those of 0 to 9:
no task was seen by its bank. In the long report every method moves and mirrors its training images,
and held-out data of two tasks of other classes chose the rates of masks and over the ranked bank;
in the quick one nothing did, and images are as they are. SupSup (2006.14769) learns on all 2,500
images of a task with weight decay and fewer weights kept: another setting than this one."""


def split_cifar(full: bool) -> LearningStudy:
    """All twenty tasks; or three of them with few epochs and rates that nothing chose."""
    epochs = FULL_EPOCHS if full else QUICK_EPOCHS
    shared_fit = FULL_SHARED_FIT if full else QUICK_SHARED_FIT
    mask = tuned_mask(epochs, (1e-3, 3e-3) if full else (3e-3,), BACKBONE, shared_fit.augmentation)
    of_groups = partition(
        epochs,
        512,
        "int4",
        (COEFFICIENT_RATE,),
        BACKBONE,
        augmentation=shared_fit.augmentation,
    )
    later, earlier = (
        ranked(
            epochs,
            SIZE,
            "int2",
            STREAM,
            HALF,
            (0.03, 0.1) if full else (0.1,),
            BACKBONE,
            "classifier.weight",
            Start("origin"),
            shared_fit,
            first_task,
        )
        for first_task in (HALF, 0)
    )
    # Their choosing tasks are of classes that the bank of the later half has not seen.
    earlier = replace(earlier, rates=(), rate_of=later)

    def claims(data: str, measured: Sequence[Measurement]) -> list[Claim]:
        masks = by_method(measured).get(mask.name, [])
        accurate = at_least(
            f"split {data}: test accuracy of {mask.name}",
            mean(lambda one: one.accuracy, masks),
            LEAST_ACCURACY,
            "share",
        )
        compared = against(
            f"split {data}", measured, later, mask, -MOST_POINTS_BELOW, MOST_BYTES_SHARE
        )
        # So few epochs cannot get that far.
        return [accurate, *compared] if full else compared

    tasks = range(2 * HALF) if full else QUICK_TASKS
    return LearningStudy(
        "split-cifar",
        "Split CIFAR-100",
        TEXT,
        ("cifar100",),
        STREAM,
        CHOOSING,
        [
            Planned(mask, tasks),
            Planned(later, [task for task in tasks if task < HALF]),
            Planned(earlier, [task for task in tasks if task >= HALF]),
            Planned(of_groups, tasks[::4] if full else tasks),
        ],
        claims,
    )
