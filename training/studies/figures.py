"""What was measured, as pictures: PNG bytes from measurements. Measures nothing."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from training.studies.measurement import Measurement, by_method, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _GRID = "#22313f", "#d9dee3"
_COLOURS = ("#2f6f9f", "#d98c3f", "#5b8c5a", "#9c4f7c", "#7a6fb0", "#b5483a", "#4f9da6", "#8a7a4f")
_MASK_COLOURS = ("#9aa7b1", "#22313f")
_MARKERS, _LINES = ("o", "D", "^", "v"), ("solid", "dashed", "dotted", "dashdot")
"""Of the first methods that have a colour, the second, and so on."""
_CELL_TEXT_LIMIT = 160

Draw = Callable[["Axes"], None]
Methods = Mapping[str, Sequence[Measurement]]


def learning_figures(title: str, measured: Sequence[Measurement]) -> dict[str, bytes]:
    """Accuracy against bytes, against K, the learning curves, and the matrix over tasks.

    What was learned for fewer epochs than most is among the curves alone.
    """
    everything = by_method(measured)
    most = max(one.epochs for one in measured)
    methods = {name: ones for name, ones in everything.items() if ones[0].epochs == most}
    figures = {
        "bytes": drawn(f"{title}: accuracy against bytes", lambda axes: _bytes(axes, methods)),
        "curves": drawn(f"{title}: learning curves", lambda axes: _curves(axes, everything)),
        "tasks": drawn(
            f"{title}: accuracy of each task",
            lambda axes: _matrix(axes, methods),
            height=1.6 + 0.34 * len(methods),
        ),
    }
    by_size = {name: ones for name, ones in methods.items() if ones[0].kind != "supermask"}
    if len({ones[0].size for ones in by_size.values()}) > 1:
        figures["size"] = drawn(f"{title}: accuracy against K", lambda axes: _size(axes, methods))
    return figures


def belief_figure(title: str, belief: Sequence[Sequence[float]], names: Sequence[str]) -> bytes:
    """Rows are the tasks that images come from, columns the tasks believed in."""

    def draw(axes: "Axes") -> None:
        _cells(axes, belief, names, names, 0.0, 1.0)
        axes.set_xlabel("belief in", color=_INK)
        axes.set_ylabel("one image of", color=_INK)

    return drawn(title, draw, width=6.4, height=5.6)


def _bytes(axes: "Axes", methods: Methods) -> None:
    for name, ones, colour, turn in _coloured(methods):
        size = fmean(one.file_bytes for one in ones)
        _point(axes, size, ones, colour, turn, name)
    axes.set_xscale("log")
    axes.set_xlabel("bytes of a task's file", color=_INK)
    _accuracy_axis(axes)


def _size(axes: "Axes", methods: Methods) -> None:
    for name, ones, colour, turn in _coloured(methods):
        if ones[0].kind == "supermask":
            level = fmean(one.accuracy for one in ones)
            axes.axhline(level, color=colour, linewidth=1, linestyle=(0, (4, 3)), label=name)
        else:
            _point(axes, ones[0].size, ones, colour, turn, name)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("K", color=_INK)
    _accuracy_axis(axes)


def _point(
    axes: "Axes", x: float, ones: Sequence[Measurement], colour: str, turn: int, label: str
) -> None:
    axes.errorbar(
        [x],
        [fmean(one.accuracy for one in ones)],
        yerr=[spread(lambda one: one.accuracy, ones)],
        color=colour,
        marker="s" if ones[0].kind == "supermask" else _MARKERS[turn],
        capsize=3,
        linestyle="none",
        label=label,
    )


def _accuracy_axis(axes: "Axes") -> None:
    axes.set_ylabel("test accuracy", color=_INK)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.margins(0.12)


def _curves(axes: "Axes", methods: Methods) -> None:
    for name, ones, colour, turn in _coloured(methods):
        curves = [one.curve for one in ones]
        epochs = range(1, len(curves[0]) + 1)
        by_epoch = list(zip(*curves, strict=True))
        means = [fmean(shares) for shares in by_epoch]
        axes.plot(epochs, means, color=colour, linestyle=_LINES[turn], label=name)
        axes.fill_between(
            epochs, [*map(min, by_epoch)], [*map(max, by_epoch)], color=colour, alpha=0.12
        )
    axes.set_xlabel("epochs", color=_INK)
    _accuracy_axis(axes)
    axes.set_ylabel("held-out accuracy", color=_INK)
    axes.locator_params(axis="x", integer=True)


def _matrix(axes: "Axes", methods: Methods) -> None:
    tasks = sorted({one.task for ones in methods.values() for one in ones})
    rows = []
    for ones in methods.values():
        of_task = [[one.accuracy for one in ones if one.task == task] for task in tasks]
        rows.append([fmean(shares) if shares else float("nan") for shares in of_task])
    known = [one.accuracy for ones in methods.values() for one in ones]
    _cells(axes, rows, list(methods), [str(task) for task in tasks], min(known), max(known))
    axes.set_xlabel("task", color=_INK)


def _cells(
    axes: "Axes",
    rows: Sequence[Sequence[float]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    least: float,
    most: float,
) -> None:
    axes.grid(visible=False)
    axes.imshow(rows, cmap="Blues", vmin=least, vmax=most, aspect="auto")
    axes.set_yticks(range(len(row_names)), row_names, fontsize=8)
    axes.set_xticks(range(len(column_names)), column_names, fontsize=8)
    if len(row_names) * len(column_names) > _CELL_TEXT_LIMIT:
        return
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            if value == value:
                colour = "white" if value > (least + most) / 2 else _INK
                axes.text(x, y, f"{value:.3f}", ha="center", va="center", fontsize=7, color=colour)


def _coloured(methods: Methods) -> list[tuple[str, Sequence[Measurement], str, int]]:
    """Each with its colour, and how often that was given before."""
    given: Counter[tuple[str, ...]] = Counter()
    coloured = []
    for name, ones in methods.items():
        colours = _MASK_COLOURS if ones[0].kind == "supermask" else _COLOURS
        turn, place = divmod(given[colours], len(colours))
        given[colours] += 1
        coloured.append((name, ones, colours[place], turn % len(_MARKERS)))
    return coloured


def drawn(title: str, draw: Draw, width: float = 9.0, height: float = 4.4) -> bytes:
    """One figure in the report's style, as PNG; `draw` fills its axes."""
    # Imported here because it takes a second, and only this asks for it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0)
    axes.set_title(title, color=_INK, fontsize=11, loc="left")
    draw(axes)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
