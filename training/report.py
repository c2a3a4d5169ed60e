"""What was measured of a store, as tables for people and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from rich.table import Table

from training.adaptation_trials import AdaptationShares
from training.evaluation import TaskResult
from training.inference_trials import InferenceShares
from training.scenarios import Scenarios
from training.scenarios_report import scenarios_record, scenarios_table


@dataclass(frozen=True)
class Report:
    """Everything measured in one run of `evaluate`."""

    data: str
    tasks: Sequence[TaskResult]
    inference: Sequence[InferenceShares]
    left_out: Mapping[str, str]
    """Tasks not measured, and why."""
    adaptation: Sequence[AdaptationShares] = ()
    """Empty where it was not asked for."""
    scenarios: Scenarios | None = None

    @property
    def mean_test_accuracy(self) -> float:
        """Over tasks."""
        return fmean(task.test_accuracy for task in self.tasks)

    @property
    def largest_forgetting(self) -> float:
        """The largest change of a held-out accuracy since publishing, whichever its sign."""
        return max(abs(task.forgetting) for task in self.tasks)


def report_tables(report: Report) -> list[Table]:
    """Tables of the tasks, of task inference, and of what else was measured."""
    tasks = Table(title=f"Tasks of {report.data}")
    tasks.add_column("task")
    tasks.add_column("kind")
    for column in ("classes", "test accuracy", "held out", "forgetting", "tensor B", "file B"):
        tasks.add_column(column, justify="right")
    for task in report.tasks:
        tasks.add_row(
            task.task_id,
            task.kind,
            str(task.classes),
            f"{task.test_accuracy:.4f}",
            f"{task.held_out_accuracy:.4f}",
            _exact(task.forgetting),
            f"{task.tensor_bytes:,}",
            f"{task.file_bytes:,}",
        )
    tasks.add_section()
    tasks.add_row(
        f"{len(report.tasks)} tasks",
        "",
        "",
        f"{report.mean_test_accuracy:.4f}",
        f"{fmean(task.held_out_accuracy for task in report.tasks):.4f}",
        _exact(report.largest_forgetting),
        f"{sum(task.tensor_bytes for task in report.tasks):,}",
        f"{sum(task.file_bytes for task in report.tasks):,}",
    )
    inference = Table(title=f"Trials in which the right one of {len(report.tasks)} tasks is named")
    for column in ("images", "trials", "one-shot", "best 8, then entropy", "entropy of every task"):
        inference.add_column(column, justify="right")
    for shares in report.inference:
        inference.add_row(
            str(shares.images),
            str(shares.trials),
            f"{shares.one_shot:.1%}",
            f"{shares.short_list:.1%}",
            f"{shares.exhaustive:.1%}",
        )
    scenarios = [] if report.scenarios is None else [scenarios_table(report.scenarios)]
    return [tasks, inference, *scenarios, *_adaptation_tables(report)]


def _adaptation_tables(report: Report) -> list[Table]:
    if not report.adaptation:
        return []
    table = Table(title="Images answered rightly by networks adapted to them without labels")
    table.add_column("start")
    for column in ("images", "trials", "as it is", "adapted by entropy", "and balanced"):
        table.add_column(column, justify="right")
    for shares in report.adaptation:
        table.add_row(
            shares.start,
            str(shares.images),
            str(shares.trials),
            f"{shares.as_it_is:.1%}",
            f"{shares.adapted:.1%}",
            f"{shares.balanced:.1%}",
        )
    return [table]


def _exact(change: float) -> str:
    # Rounding must not turn a small change into none.
    return "0" if change == 0 else f"{change:+.2g}"


def report_json(report: Report) -> bytes:
    """Indented JSON: `tasks`, `summary`, `left_out`, and a field for each thing measured."""
    described = {
        "data": report.data,
        "summary": {
            "tasks": len(report.tasks),
            "mean_test_accuracy": report.mean_test_accuracy,
            "largest_forgetting": report.largest_forgetting,
            "tensor_bytes": sum(task.tensor_bytes for task in report.tasks),
            "file_bytes": sum(task.file_bytes for task in report.tasks),
        },
        "tasks": [{**asdict(task), "forgetting": task.forgetting} for task in report.tasks],
        "inference": [asdict(shares) for shares in report.inference],
        "scenarios": None if report.scenarios is None else scenarios_record(report.scenarios),
        "adaptation": [asdict(shares) for shares in report.adaptation],
        "left_out": dict(report.left_out),
    }
    return json.dumps(described, indent=2).encode() + b"\n"
