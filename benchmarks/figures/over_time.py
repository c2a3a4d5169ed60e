"""What was sampled while something went on, as one line over time in a panel each."""

import io
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_INK, _LINE = "#22313f", "#2f6f9f"


def over_time_png(seconds: Sequence[float], panels: Mapping[str, Sequence[float]]) -> bytes:
    """By panel, each from nought and with a value for each of the moments; a PNG."""
    figure = Figure(figsize=(11, 2.4 * len(panels)), layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    every = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (name, values) in zip(every, panels.items(), strict=True):
        axes.plot(seconds, values, color=_LINE, linewidth=1.2)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(which="both", colors=_INK, labelsize=7)
        axes.set_title(name, color=_INK, fontsize=8, loc="left")
    every[-1].set_xlabel("seconds", color=_INK, fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
