"""The studies of the report on task inference: which task is this."""

from training.recognition_trials import TrialRows
from training.studies.false_acceptance import FalseAcceptance, Strangers
from training.studies.recognition import Recognition
from training.studies.recognition_page import Bounds
from training.studies.shared_learning import Tasks
from training.studies.study import Study
from training.task_streams import TaskStream

MNIST, FASHION = "mnist", "fashion-mnist"
PERMUTED, ROTATED, SPLIT = TaskStream("permuted"), TaskStream("rotated"), TaskStream("split")
OTHER_PERMUTED = TaskStream("permuted", seed=1)

PERMUTED_BOUNDS = Bounds(named={"1": 0.98, "16": 0.999}, refuses=True)
ROTATED_BOUNDS = Bounds(above_masks={"1": 0.05, "16": 0.05, "128": 0.05}, refuses=True)
MIXED_BOUNDS = Bounds(named={"16": 0.98}, refuses=True)

QUICK_ROWS = TrialRows(test=256, held_out=128)


_UNREGISTERED = "other permutations"
_UNSEEN, _QUARTERS = TaskStream("permuted", seed=3), TaskStream("rotated", degrees=90.0)
_FALSE_ACCEPTANCE = FalseAcceptance(
    "false-acceptance",
    "What is taken for a task that it is not",
    (
        Tasks(MNIST, PERMUTED, 6),
        Tasks(FASHION, PERMUTED, 6),
        Tasks(MNIST, ROTATED, 8),
        Tasks(FASHION, ROTATED, 6),
        Tasks(MNIST, SPLIT, 5),
    ),
    {
        "permuted MNIST": ((0,), (_UNREGISTERED, MNIST, FASHION)),
        "permuted Fashion-MNIST": ((1,), (_UNREGISTERED, MNIST, FASHION)),
        "turned MNIST": ((2,), (_UNREGISTERED, FASHION)),
        "turned Fashion-MNIST": ((3,), (_UNREGISTERED, MNIST)),
        "all": ((0, 1, 2, 3, 4), (_UNREGISTERED,)),
    },
    (_UNREGISTERED,),
    {
        _UNREGISTERED: tuple(
            Strangers(data, _UNSEEN, tuple(range(6))) for data in (MNIST, FASHION)
        ),
        MNIST: (Strangers(MNIST, _QUARTERS, (1, 2, 3)),),
        FASHION: (Strangers(FASHION, _QUARTERS, (1, 2, 3)),),
    },
)
"""The same in both forms: from few images, in minutes."""


def inference_studies(full: bool) -> list[Study]:
    """All the tasks that are claimed of; or so few that minutes do, claimed of all the same."""
    permuted, rotated, mixed = (100, 36, 20) if full else (10, 8, 5)
    epochs, rows = (2, TrialRows()) if full else (1, QUICK_ROWS)
    strangers = 10 if full else 3

    def study(
        name: str, title: str, groups: tuple[Tasks, ...], others: str, bounds: Bounds, probed: int
    ) -> Recognition:
        never = tuple(Tasks(data, OTHER_PERMUTED, strangers) for data in (groups[0].data, others))
        return Recognition(name, title, groups, never, bounds, epochs, rows, probed)

    found: list[Study] = []
    for data, others in ((MNIST, FASHION), (FASHION, MNIST)):
        for stream, count, bounds in (
            (PERMUTED, permuted, PERMUTED_BOUNDS),
            (ROTATED, rotated, ROTATED_BOUNDS),
        ):
            name = f"{stream.kind}-{data}"
            title = f"{stream.kind.capitalize()} {data}"
            groups = (Tasks(data, stream, count),)
            probes = 4 if full and stream is ROTATED else 1
            found.append(study(name, title, groups, others, bounds, probes))
    several = (
        Tasks(MNIST, PERMUTED, mixed),
        Tasks(FASHION, ROTATED, rotated),
        Tasks(MNIST, SPLIT, 5),
    )
    title = "Tasks of several data sets in one store"
    return [*found, study("mixed", title, several, FASHION, MIXED_BOUNDS, 0), _FALSE_ACCEPTANCE]
