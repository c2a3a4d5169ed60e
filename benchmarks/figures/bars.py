"""What several ways take, as bars of one panel for each thing that they were measured on."""

import io
from collections.abc import Mapping

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_INK, _BAR = "#22313f", "#2f6f9f"


def bars_png(panels: Mapping[str, Mapping[str, float]], unit: str) -> bytes:
    """By panel and way, on a scale of powers of ten; a PNG."""
    counts = [len(ways) for ways in panels.values()]
    figure = Figure(figsize=(11, sum(counts) * 0.24 + len(counts)), layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    heights = {"height_ratios": [count + 2 for count in counts]}
    every = figure.subplots(len(counts), 1, squeeze=False, gridspec_kw=heights)[:, 0]
    for axes, (name, ways) in zip(every, panels.items(), strict=True):
        drawn = axes.barh(list(ways), list(ways.values()), color=_BAR, height=0.6)
        axes.bar_label(drawn, fmt="{:.3g}", padding=3, fontsize=7, color=_INK)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(which="both", colors=_INK, labelsize=7)
        axes.margins(x=0.1)
        axes.set_title(name, color=_INK, fontsize=8, loc="left")
        axes.set_xlabel(unit, color=_INK, fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
