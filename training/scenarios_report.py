"""SupSup's scenarios as a table for people and as a record for JSON, by the paper's names."""

from rich.table import Table

from training.scenarios import Scenarios


def scenarios_table(scenarios: Scenarios) -> Table:
    """A row for identity given, then one for each method and number of images."""
    table = Table(
        title=f"{scenarios.images:,} test images of {scenarios.tasks} tasks, {scenarios.outputs} "
        "outputs: the share answered right"
    )
    table.add_column("identity")
    for column in ("from images", "batches", "task named", "GG", "GNs", "GNu"):
        table.add_column(column, justify="right")
    table.add_row("given", "", "", "", f"{scenarios.identity_given:.4f}", "", "")
    for row in scenarios.unknown:
        table.add_row(
            row.method,
            str(row.images),
            str(row.batches),
            f"{row.task_named:.2%}",
            "",
            f"{row.labels_shared:.4f}",
            f"{row.labels_not_shared:.4f}",
        )
    return table


def scenarios_record(scenarios: Scenarios) -> dict[str, object]:
    """The scenarios by the names that the paper gives them, ready for JSON."""
    return {
        "tasks": scenarios.tasks,
        "outputs": scenarios.outputs,
        "images": scenarios.images,
        "GG": scenarios.identity_given,
        "unknown": [
            {
                "method": row.method,
                "images": row.images,
                "batches": row.batches,
                "task_named": row.task_named,
                "GNs": row.labels_shared,
                "GNu": row.labels_not_shared,
            }
            for row in scenarios.unknown
        ],
    }
