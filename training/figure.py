"""The report as a picture: accuracy of each task, and how often the right one is named."""

import io
from typing import TYPE_CHECKING, Any

from training.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _GRID, _COLOURS = "#22313f", "#d9dee3", {"coefficients": "#2f6f9f", "supermask": "#d98c3f"}
_METHODS = (
    ("one_shot", "one-shot gradient", "#9aa7b1", "o"),
    ("short_list", "best 8, then entropy", "#d98c3f", "s"),
    ("exhaustive", "entropy of every task", "#2f6f9f", "D"),
)
_LABELLED_TASKS = 24
_TITLE_PAD = 24
_LEGEND_ABOVE: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (-0.01, 0.99),
    "frameon": False,
    "fontsize": 8,
    "columnspacing": 1.2,
}


def report_png(report: Report) -> bytes:
    """A PNG of two panels."""
    # Imported here because it takes a second, and only this asks for it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    accuracy_axes, inference_axes = figure.subplots(1, 2, width_ratios=(5, 4))
    for axes in (accuracy_axes, inference_axes):
        _plain(axes)
    _draw_accuracy(accuracy_axes, report)
    _draw_inference(inference_axes, report)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _draw_accuracy(axes: "Axes", report: Report) -> None:
    for kind, colour in _COLOURS.items():
        rows = [(i, task) for i, task in enumerate(report.tasks) if task.kind == kind]
        if rows:
            size = sum(task.tensor_bytes for _, task in rows) / len(rows)
            axes.bar(
                [i for i, _ in rows],
                [task.test_accuracy for _, task in rows],
                color=colour,
                width=0.72,
                label=f"{kind}, {size:,.0f} bytes a task",
            )
    axes.axhline(report.mean_test_accuracy, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
    if len(report.tasks) <= _LABELLED_TASKS:
        names = [task.task_id for task in report.tasks]
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    axes.set_title(
        f"Test accuracy, {report.data}: mean {report.mean_test_accuracy:.1%}, "
        f"forgetting {report.largest_forgetting:g}",
        color=_INK,
        fontsize=11,
        loc="left",
        pad=_TITLE_PAD,
    )
    axes.legend(**_LEGEND_ABOVE, ncols=2)


def _draw_inference(axes: "Axes", report: Report) -> None:
    positions = range(len(report.inference))
    for field, label, colour, marker in _METHODS:
        shares = [getattr(row, field) for row in report.inference]
        axes.plot(positions, shares, color=colour, marker=marker, linewidth=2, label=label)
    axes.axhline(1 / len(report.tasks), color=_INK, linewidth=1, linestyle=(0, (1, 3)))
    axes.text(0, 1 / len(report.tasks) + 0.015, "chance", color=_INK, fontsize=8)
    axes.set_xticks(positions, [str(row.images) for row in report.inference])
    axes.set_xlabel("unlabelled images", color=_INK)
    axes.set_title(
        f"Right one of {len(report.tasks)} tasks named",
        color=_INK,
        fontsize=11,
        loc="left",
        pad=_TITLE_PAD,
    )
    axes.legend(**_LEGEND_ABOVE, ncols=3)
