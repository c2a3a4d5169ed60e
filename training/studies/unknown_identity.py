"""SupSup's experiment in the report: many permuted tasks, and nobody says which is asked."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from training.bank_options import BankOptions
from training.fitting import FitOptions
from training.new_networks import new_network
from training.scenarios import measure_scenarios
from training.scenarios_report import scenarios_record
from training.studies.claims import Claim, at_least
from training.studies.ledger import Asked
from training.studies.study import Bench, Section
from training.studies.tables import markdown_table
from training.task_namers import ONE_SHOT_H
from training.task_streams import TaskStream
from training.unknown_identity import MaskSettings, learn_tasks

DATA = "mnist"
STREAM = TaskStream("permuted")
OUTPUTS = 100
SETTINGS = MaskSettings()

LEAST_NAMED = 0.99
LEAST_ACCURACY = 0.93

PUBLISHED = """SupSup (2006.14769) publishes 94.91 % for PermutedMNIST in this scenario (GNu) after
250 tasks; its number of superfluous outputs was another."""


@dataclass(frozen=True)
class UnknownIdentityStudy:
    """A dedicated mask a task, superfluous outputs, one image to name the task of a batch."""

    tasks: int
    batches: int | None
    """Test batches of each task; all if None."""
    name: str = "unknown-identity"
    title: str = "Without the task's identity"
    parts: Sequence[str] = (DATA,)
    timed: bool = False

    def run(self, bench: Bench, part: str) -> None:
        image_set = bench.data.load(part)
        fingerprint = bench.data.fingerprint(part)
        if image_set is None or fingerprint is None:
            return
        asked = self._asked(fingerprint)
        if bench.ledger.find(asked) is not None:
            return
        network = new_network(
            BankOptions(outputs=OUTPUTS),
            image_set.preprocessing(),
            lambda _: image_set,
            FitOptions(1, SETTINGS.learning_rate),
            device=bench.device,
        )
        known = learn_tasks(network, image_set, STREAM, self.tasks, SETTINGS.recipe)
        measured = measure_scenarios(network, known, (1,), self.batches)
        row = measured.row(ONE_SHOT_H)
        size = len(known[0].artifact.content)
        bench.ledger.add(asked, {**scenarios_record(measured), "file_bytes": size})
        bench.say(f"{self.name}: task and class right in {row.labels_not_shared:.4f}")

    def section(self, bench: Bench) -> Section:
        fingerprint = bench.data.fingerprint(DATA)
        entry = None if fingerprint is None else bench.ledger.find(self._asked(fingerprint))
        text = (
            f"{self.tasks} tasks of Permuted MNIST, a dedicated mask each (`score >= 0`, RMSProp "
            f"1e-4, {SETTINGS.batches} batches of {SETTINGS.batch_size}), LeNet-300-100 with "
            f"{OUTPUTS} outputs of which 10 are classes. One image of a test batch of 128 names "
            "its task. GG: the task is given; GNs: the class is right; GNu: task and class are."
        )
        if entry is None:
            return Section(f"{text}\n\nNot measured.", self._claims(None, None))
        got = entry.got
        rows = [("given", "", f"{got['GG']:.4f}", "", "")]
        for row in got["unknown"]:
            shares = (f"{row[key]:.4f}" for key in ("GNs", "GNu"))
            rows.append((row["method"], f"{row['task_named']:.2%}", "", *shares))
        table = markdown_table(("identity", "task named", "GG", "GNs", "GNu"), rows)
        count = f"{got['images']:,} test images; a task is {got['file_bytes']:,} bytes."
        one_shot = next(row for row in got["unknown"] if row["method"] == ONE_SHOT_H)
        return Section(
            "\n\n".join((text, table, count, PUBLISHED)),
            self._claims(round(one_shot["task_named"], 4), round(one_shot["GNu"], 4)),
            machines=frozenset({entry.machine}),
        )

    def _claims(self, named: float | None, accuracy: float | None) -> list[Claim]:
        where = f"{self.tasks} permuted tasks of {DATA}, {ONE_SHOT_H} from one image"
        return [
            at_least(f"{where}: batches whose task is named", named, LEAST_NAMED, "share"),
            at_least(f"{where}: task and class right", accuracy, LEAST_ACCURACY, "share"),
        ]

    def _asked(self, fingerprint: str) -> Asked:
        return {
            "study": self.name,
            "fingerprint": fingerprint,
            "stream": asdict(STREAM),
            "tasks": self.tasks,
            "batches": self.batches,
            "outputs": OUTPUTS,
            "settings": asdict(SETTINGS),
        }
