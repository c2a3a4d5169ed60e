"""Epochs that a task needs from each start to come to what a random start reaches with most.

Every budget of epochs is a run of its own, as the learning rate falls to zero within it. Accuracies
are on held-out data. Without `--data` it runs on scikit-learn's digits.
"""

import json
import statistics
import sys
from dataclasses import dataclass, field
from typing import Annotated

import torch
import typer

from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact
from training.bank_options import BankOptions
from training.coefficients import CoefficientRecipe
from training.data_sets import load_image_set
from training.fitting import FitOptions
from training.image_sets import ImageSet
from training.new_networks import new_network
from training.starts import Start
from training.task_streams import StreamKind, TaskStream

NEAR = 0.005
"""Half a point below what a random start reaches counts as reached."""

LEAST_LEAD_POINTS = 3.0
MOST_POINTS_BELOW = 1.0

RATE = 0.2
"""At 0.05 no start came further within as many epochs, on rotated digits and permuted ones."""

STARTS: dict[str, tuple[str, ...]] = {
    "partition": ("randn", "mean", "uniform"),
    "heterogeneous": ("randn", "mean", "uniform", "one-hot"),
}


@dataclass
class Row:
    """One start over one bank and stream: held-out accuracies of the tasks, for each budget."""

    stream: StreamKind
    bank: str
    start: str
    accuracies: dict[int, list[float]] = field(default_factory=dict)

    def mean(self, budget: int) -> float:
        """Over the tasks but the first, which has no task before it to start from."""
        return statistics.fmean(self.accuracies[budget][1:])

    def epochs_to(self, accuracy: float) -> int | None:
        """The least budget that comes to this mean accuracy; None where none does."""
        return next((budget for budget in self.accuracies if self.mean(budget) >= accuracy), None)


def start_of(name: str, index: int) -> Start:
    """The start of that name for task `index`, whose own mask is basis mask `index`."""
    if name == "one-hot":
        return Start("one-hot", index)
    return Start("mean" if name == "mean" else "uniform" if name == "uniform" else "randn")


def measure(
    row: Row, network: FrozenNetwork, tasks: list[ImageSet], budgets: list[int], batch_size: int
) -> None:
    """Learn every task in turn with each budget, from tasks that were learned with the largest."""
    earlier: list[TaskArtifact] = []
    for index, task in enumerate(tasks):
        for budget in budgets:
            fit = FitOptions(budget, RATE, batch_size)
            recipe = CoefficientRecipe(fit, start=start_of(row.start, index))
            learned = recipe.learn(network, task, {}, earlier=tuple(earlier))
            reached = learned.record.held_out_accuracy or 0.0
            row.accuracies.setdefault(budget, []).append(reached)
        earlier.append(learned)
    print(f"{row.stream}, {row.bank}, {row.start}", file=sys.stderr, flush=True)


def claims(table: list[Row], budgets: list[int]) -> list[dict[str, object]]:
    """What is claimed: related tasks lead from a mean, tasks of the bank from their own mask."""
    least, most = budgets[0], budgets[-1]
    rows = {(row.stream, row.bank, row.start): row for row in table}
    related, random = rows["rotated", "partition", "mean"], rows["rotated", "partition", "randn"]
    lead = 100 * (related.mean(least) - random.mean(least))
    found: list[dict[str, object]] = [
        {
            "claim": f"lead of a mean start over randn, rotated, partition, epochs: {least}",
            "measured": round(lead, 2),
            "bound": LEAST_LEAD_POINTS,
            "unit": "points of held-out accuracy, at least",
            "holds": lead >= LEAST_LEAD_POINTS,
        }
    ]
    for stream in ("rotated", "permuted"):
        own = rows[stream, "heterogeneous", "one-hot"].mean(least)
        below = 100 * (rows[stream, "heterogeneous", "randn"].mean(most) - own)
        found.append(
            {
                "claim": f"a one-hot start, epochs: {least}, below randn, epochs: {most}, {stream}",
                "measured": round(below, 2),
                "bound": MOST_POINTS_BELOW,
                "unit": "points of held-out accuracy, at most",
                "holds": below <= MOST_POINTS_BELOW,
            }
        )
    return found


def main(
    data: Annotated[str, typer.Option(help="A data set, as `impress-train` takes it.")] = "digits",
    tasks: Annotated[int, typer.Option(min=2)] = 5,
    epochs: Annotated[int, typer.Option(min=2, help="The largest budget.")] = 16,
    images: Annotated[int, typer.Option(min=1, help="Training images, at most.")] = 10_000,
) -> None:
    """Measure and print; exit 1 where a claim does not hold."""
    image_set = load_image_set(data)
    few = image_set.train.rows(torch.arange(min(images, len(image_set.train))))
    image_set = ImageSet(image_set.name, image_set.classes, few, image_set.held_out, image_set.test)
    batch_size = 64 if data == "digits" else 128
    budgets = [epochs >> halvings for halvings in reversed(range(epochs.bit_length()))]
    table: list[Row] = []
    kinds: list[StreamKind] = ["rotated", "permuted"]
    for kind in kinds:
        made = [TaskStream(kind).task(image_set, index) for index in range(tasks)]
        outputs, preprocessing = len(image_set.classes), image_set.preprocessing()
        networks = {
            "partition": new_network(
                BankOptions("partition", 256, outputs=outputs),
                preprocessing,
                made.__getitem__,
                FitOptions(1, 0.2),
            ),
            "heterogeneous": new_network(
                BankOptions("heterogeneous", tasks, outputs=outputs),
                preprocessing,
                made.__getitem__,
                FitOptions(max(1, epochs // 2), 3e-3, batch_size),
            ),
        }
        for bank, starts in STARTS.items():
            for start in starts:
                table.append(Row(kind, bank, start))
                measure(table[-1], networks[bank], made, budgets, batch_size)
    print(f"{image_set.name}: {tasks} tasks, {len(few):,} images")
    randn = {(row.stream, row.bank): row for row in table if row.start == "randn"}
    print(f"| stream | bank | start | {' | '.join(map(str, budgets))} | epochs |")
    print(f"|---|---|---|{'---|' * len(budgets)}---|")
    for row in table:
        best = randn[row.stream, row.bank].mean(budgets[-1])
        cells = " | ".join(f"{row.mean(budget):.3f}" for budget in budgets)
        print(
            f"| {row.stream} | {row.bank} | {row.start} | {cells} "
            f"| {row.epochs_to(best - NEAR) or 'none'} |"
        )
    found = claims(table, budgets)
    print(json.dumps(found, indent=2))
    raise typer.Exit(0 if all(claim["holds"] for claim in found) else 1)


if __name__ == "__main__":
    typer.run(main)
