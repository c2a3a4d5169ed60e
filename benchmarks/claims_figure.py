"""The benchmarks' claims as one picture: how each measured figure stands to its bound."""

import io
import math
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.studies.claims import Claim

_INK, _HELD, _MISSED = "#22313f", "#2f6f9f", "#b5483a"
_LONGEST_NAME = 92
_FARTHEST = 6.0
"""Doublings that a bar is drawn to at most."""


def doublings_better(claim: Claim) -> float | None:
    """By how many doublings it is better than its bound; below 0 where it is worse.

    None of what was not measured, and of a bound of zero, to which there is no ratio.
    """
    if claim.measured is None or claim.bound <= 0 or claim.measured < 0:
        return None
    if not claim.measured:
        return math.inf if claim.unit.endswith("at most") else -math.inf
    doublings = math.log2(claim.measured / claim.bound)
    return -doublings if claim.unit.endswith("at most") else doublings


def claims_png(claims: Sequence[Claim]) -> bytes:
    """A bar a claim, to the right where it is better than its bound; a PNG."""
    drawn = [(one, better) for one in claims if (better := doublings_better(one)) is not None]
    figure = Figure(figsize=(11, 1.2 + 0.26 * len(drawn)), layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=_INK, length=0, labelsize=7)
    axes.axvline(0, color=_INK, linewidth=0.8)
    lengths = [max(-_FARTHEST, min(_FARTHEST, better)) for _, better in drawn]
    colours = [_HELD if one.holds else _MISSED for one, _ in drawn]
    axes.barh(range(len(drawn)), lengths, color=colours, height=0.6)
    axes.set_yticks(range(len(drawn)), [_shortened(one.claim) for one, _ in drawn])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: f"{2**value:.3g}x")
    axes.set_xlabel("better than its bound, by a factor", color=_INK, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
