"""Rotated tasks of two data sets: few bytes, and what related tasks save of the learning."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from training.coefficients import CoefficientRecipe
from training.fitting import FitOptions
from training.starts import Start
from training.studies.claims import Claim, at_most
from training.studies.comparisons import against
from training.studies.learning_study import LearningStudy, Planned
from training.studies.measurement import Measurement, by_method
from training.studies.methods import Method, partition, tuned_mask
from training.task_streams import TaskStream

EPOCHS = 8
TASKS = 36
STREAM = TaskStream("rotated", degrees=10.0)
BETWEEN = replace(STREAM, degrees=5.0)
CHOOSING = ((BETWEEN, 13), (BETWEEN, 49))
"""65 and 245 degrees: none of the tasks measured."""

RELATED = (0, 6, 12, 18, 24, 30)
"""Learned before the others, every 60 degrees; what later tasks start from is their mean."""

QUICK_TASKS = (3, 13, 28)

MASK = tuned_mask(EPOCHS)
FRESH = partition(EPOCHS, 1024, "int4")
RELATED_START = Method(
    f"{FRESH.name}, from the mean of {len(RELATED)} related tasks",
    FRESH.store,
    lambda rate, seed: CoefficientRecipe(
        FitOptions(EPOCHS, rate, seed=seed), "int4", Start("mean")
    ),
    (),
    after=RELATED,
    before=FRESH,
)

NEAR = 0.005
"""Half a point below what a fresh start reaches counts as reached."""

MOST_POINTS_BELOW = 0.5
MOST_BYTES_SHARE = 0.05
MOST_EPOCHS_SHARE = 0.5

TEXT = f"""Each task has the images of the data set turned by another multiple of 10 degrees.
LeNet-300-100. Held-out data of two turns between those, 65 and 245 degrees, chose the learning
rates. Tasks {", ".join(map(str, RELATED))} are learned first and are not measured here; a start
from related tasks is the mean of their coefficients. Epochs are counted on the curves of held-out
accuracy, within the one schedule that all share."""


def rotated(full: bool) -> LearningStudy:
    """The thirty tasks that nothing starts from and three seeds; or three of them and one seed."""
    others = tuple(index for index in range(TASKS) if index not in RELATED)
    tasks, seeds = (others, range(3)) if full else (QUICK_TASKS, range(1))
    return LearningStudy(
        "rotated",
        "Rotated tasks",
        TEXT,
        ("mnist", "fashion-mnist"),
        STREAM,
        CHOOSING,
        [Planned(method, tasks, seeds) for method in (MASK, FRESH, RELATED_START)],
        claims,
        remarks,
    )


def claims(data: str, measured: Sequence[Measurement]) -> list[Claim]:
    """Coefficients against the tuned mask, and the epochs that related tasks save."""
    fresh, related = epochs_needed(measured)
    return [
        *against(f"rotated {data}", measured, FRESH, MASK, -MOST_POINTS_BELOW, MOST_BYTES_SHARE),
        at_most(
            f"rotated {data}: epochs from related tasks over those of a fresh start, to within "
            f"{100 * NEAR:g} points of what the fresh start reaches",
            None if fresh is None or related is None else round(related / fresh, 3),
            MOST_EPOCHS_SHARE,
            "ratio",
        ),
    ]


def epochs_needed(measured: Sequence[Measurement]) -> tuple[int | None, int | None]:
    """Epochs of a fresh start and of one from related tasks to what the fresh one ends at.

    On curves averaged over tasks and seeds; None where it is never reached.
    """
    methods = by_method(measured)
    fresh = average_curve(methods.get(FRESH.name, []))
    related = average_curve(methods.get(RELATED_START.name, []))
    if not fresh or not related:
        return None, None
    first, second = (
        next((n for n, share in enumerate(curve, 1) if share >= fresh[-1] - NEAR), None)
        for curve in (fresh, related)
    )
    return first, second


def average_curve(measured: Sequence[Measurement]) -> list[float]:
    """Held-out accuracy after each epoch, the mean over measurements of as many epochs."""
    return [fmean(shares) for shares in zip(*(one.curve for one in measured), strict=True)]


def remarks(measured: Sequence[Measurement]) -> str:
    """The epochs needed, in words."""
    fresh, related = epochs_needed(measured)
    return (
        f"Epochs to within {100 * NEAR:g} points of the fresh start's last held-out accuracy: "
        f"{fresh or 'none'} from a fresh start, {related or 'none'} from related tasks."
    )
