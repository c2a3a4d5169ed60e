"""Tables of the page, as Markdown."""

from collections.abc import Iterable, Sequence

from training.studies.claims import Claim
from training.studies.measurement import Measurement, by_method, mean, spread


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns after the first are aligned to the right."""
    ruler = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows))


def spoken_for(measured: Sequence[Measurement]) -> str:
    """Which tasks, seeds and epochs the measurements are of."""
    tasks = sorted({one.task for one in measured})
    seeds = sorted({one.seed for one in measured})
    epochs = sorted({one.epochs for one in measured})
    return (
        f"Tasks {_listed(tasks)}; seeds {_listed(seeds)}; epochs: {_listed(epochs)}. The mean is "
        "over tasks and seeds, the spread is the standard deviation over them."
    )


def learning_table(measured: Sequence[Measurement]) -> str:
    """A line a method; its bytes also as a share of a dedicated mask's file."""
    methods = by_method(measured)
    mask = max((one.file_bytes for one in measured if one.kind == "supermask"), default=None)
    rows = []
    for name, ones in methods.items():
        size = mean(lambda one: one.file_bytes, ones) or 0.0
        rows.append(
            (
                name,
                f"{ones[0].learning_rate:g}",
                f"{mean(lambda one: one.accuracy, ones):.4f}",
                f"{spread(lambda one: one.accuracy, ones):.4f}",
                f"{mean(lambda one: one.held_out_accuracy, ones):.4f}",
                f"{len(ones)}",
                f"{mean(lambda one: one.tensor_bytes, ones):,.0f}",
                f"{size:,.0f}",
                "" if mask is None else f"{size / mask:.1%}",
                f"{mean(lambda one: one.seconds, ones):.1f}",
            )
        )
    head = (
        "learned",
        "rate",
        "test accuracy",
        "spread",
        "held out",
        "runs",
        "tensor bytes",
        "file bytes",
        "of a mask's file",
        "s a task",
    )
    return markdown_table(head, rows)


def claims_table(claims: Iterable[Claim]) -> str:
    """A line a claim."""
    return markdown_table(
        ("claim", "measured", "bound", "holds"),
        (
            (
                claim.claim,
                "not measured" if claim.measured is None else f"{claim.measured:.4g}",
                f"{claim.bound:g} {claim.unit}",
                "yes" if claim.holds else "**no**",
            )
            for claim in claims
        ),
    )


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
