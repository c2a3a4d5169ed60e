"""Rotated tasks of two data sets: few bytes, and what related tasks save of the learning."""

from collections.abc import Sequence
from dataclasses import replace

from training.coefficients import CoefficientRecipe
from training.fitting import FitOptions
from training.starts import RANDN, Start
from training.studies.claims import Claim, at_most
from training.studies.comparisons import against
from training.studies.learning_study import LearningStudy, Planned
from training.studies.measurement import Measurement, by_method, mean
from training.studies.methods import Method, partition, ranked, tuned_mask
from training.task_streams import TaskStream

EPOCHS = 8
TASKS = 36
STREAM = TaskStream("rotated", degrees=10.0)
BETWEEN = replace(STREAM, degrees=5.0)
CHOOSING = ((BETWEEN, 13), (BETWEEN, 49))
"""65 and 245 degrees: none of the tasks measured."""

RELATED = tuple(range(0, TASKS, 3))
"""What related tasks learned together, every 30 degrees, is where others start."""
RELATED_STREAM = replace(STREAM, degrees=30.0)
RELATED_FIT = FitOptions(10, 1e-3)

QUICK_TASKS = (4, 13, 28)

BUDGETS = (1, 2, 4, EPOCHS)
"""Epochs; each is a run of its own, as the learning rate falls to zero within it."""

SIZE = 3100
RATES = (0.05, 0.1)

MASK = tuned_mask(EPOCHS)
FRESH = partition(EPOCHS, SIZE, "int2", RATES, spread="root")
ORIGIN = Start("origin")
FROM_THEM = ranked(
    EPOCHS,
    SIZE,
    "int2",
    RELATED_STREAM,
    len(RELATED),
    RATES,
    start=ORIGIN,
    shared_fit=RELATED_FIT,
)


def _of_epochs(method: Method, epochs: int, start: Start) -> Method:
    return replace(
        method,
        name=f"{method.name}, epochs: {epochs}",
        recipe=lambda rate, seed: CoefficientRecipe(
            FitOptions(epochs, rate, seed=seed), "int2", start
        ),
        rates=(),
        rate_of=method,
    )


FROM_FRESH = {epochs: _of_epochs(FRESH, epochs, RANDN) for epochs in BUDGETS[:-1]} | {EPOCHS: FRESH}
FROM_RELATED = {epochs: _of_epochs(FROM_THEM, epochs, ORIGIN) for epochs in BUDGETS[:-1]}
FROM_RELATED[EPOCHS] = FROM_THEM

NEAR = 0.005
"""Half a point below what a fresh start reaches counts as reached."""

MOST_POINTS_BELOW = 0.5
MOST_BYTES_SHARE = 0.05
MOST_EPOCHS_SHARE = 0.5

TEXT = f"""Each task has the images of the data set turned by another multiple of 10 degrees.
LeNet-300-100. Held-out data of turns between those, 65 degrees and in the long report 245, chose
the learning rates. One network was learned from tasks {", ".join(map(str, RELATED))}
together, which are not measured here; its ranks are the bank that other tasks start from. What that
saves is counted in epochs, each budget a run of its own, by held-out accuracy."""


def rotated(full: bool) -> LearningStudy:
    """All tasks that nothing starts from and three seeds; or three of them and one seed."""
    others = tuple(index for index in range(TASKS) if index not in RELATED)
    tasks, seeds = (others, range(3)) if full else (QUICK_TASKS, range(1))
    return LearningStudy(
        "rotated",
        "Rotated tasks",
        TEXT,
        ("mnist", "fashion-mnist"),
        STREAM,
        CHOOSING if full else CHOOSING[:1],
        [
            Planned(method, tasks, seeds)
            for method in (MASK, *FROM_FRESH.values(), *FROM_RELATED.values())
        ],
        claims,
        remarks,
    )


def claims(data: str, measured: Sequence[Measurement]) -> list[Claim]:
    """Coefficients against the tuned mask, and the epochs that related tasks save."""
    fresh, related = epochs_needed(measured)
    return [
        *against(
            f"rotated {data}", measured, FROM_THEM, MASK, -MOST_POINTS_BELOW, MOST_BYTES_SHARE
        ),
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

    By the mean held-out accuracy over tasks and seeds; None where no budget reaches it.
    """
    methods = by_method(measured)

    def reached(method: Method) -> float | None:
        return mean(lambda one: one.held_out_accuracy, methods.get(method.name, []))

    wanted = reached(FRESH)
    if wanted is None:
        return None, None
    fresh, related = (
        next((n for n in BUDGETS if (reached(ways[n]) or 0.0) >= wanted - NEAR), None)
        for ways in (FROM_FRESH, FROM_RELATED)
    )
    return fresh, related


def remarks(measured: Sequence[Measurement]) -> str:
    """The epochs needed, in words."""
    fresh, related = epochs_needed(measured)
    return (
        f"Epochs, of {', '.join(map(str, BUDGETS))}, to within {100 * NEAR:g} points of the "
        f"held-out accuracy that {EPOCHS} reach from a fresh start: {fresh} from a fresh start, "
        f"{related or 'none'} from related tasks."
    )
