"""Training speed in the report: an epoch of each way to learn, over a dense network's."""

import statistics

import torch

from training.studies.epoch_ratios import DENSE, EXAMPLES, REPEATS, epoch_seconds, ratio_claims
from training.studies.ledger import Asked
from training.studies.study import Bench, Section
from training.studies.tables import markdown_table


class TrainingSpeed:
    """On one thread of the CPU, as small networks are learned there; anew on another machine."""

    name = "training-speed"
    title = "Training speed"
    parts = ("epochs",)
    timed = True

    def run(self, bench: Bench, part: str) -> None:
        asked = self._asked(bench)
        if bench.ledger.find(asked) is None:
            torch.set_num_threads(1)
            bench.ledger.add(asked, {"seconds": epoch_seconds()})
            bench.say(f"{self.name}: measured")

    def section(self, bench: Bench) -> Section:
        entry = bench.ledger.find(self._asked(bench))
        text = (
            f"An epoch of {EXAMPLES:,} random inputs of 784 numbers, LeNet-300-100, one thread of "
            f"the processor; the ways take turns in one run, {REPEATS} times."
        )
        if entry is None:
            return Section(f"{text}\n\nNot measured.", ratio_claims({}))
        seconds: dict[str, list[float]] = entry.got["seconds"]
        dense = statistics.median(seconds[DENSE])
        rows = [
            (
                name,
                f"{statistics.median(each):.2f}",
                f"{min(each):.2f} to {max(each):.2f}",
                f"{statistics.median(each) / dense:.2f}",
            )
            for name, each in seconds.items()
        ]
        table = markdown_table(("learned", "median, s", "from, to", "of dense"), rows)
        return Section(
            f"{text}\n\n{table}", ratio_claims(seconds), machines=frozenset({entry.machine})
        )

    def _asked(self, bench: Bench) -> Asked:
        return {
            "study": self.name,
            "machine": bench.ledger.machine,
            "torch": str(torch.__version__),
        }
