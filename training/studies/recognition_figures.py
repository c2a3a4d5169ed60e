"""Which task is this, as pictures: PNG bytes from what was measured. Measures nothing."""

from typing import TYPE_CHECKING

from training.studies.figures import drawn
from training.studies.ledger import Got

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"entropy": "#d98c3f", "evidence": "#5b8c5a", "auto": "#2f6f9f"}
_MASK_COLOURS = ("#22313f", "#7d8a96", "#b4bec7", "#d3d9de")


def by_rows(got: Got) -> list[tuple[str, Got]]:
    """What was measured of each number of rows, fewest first."""
    return sorted(got["by_rows"].items(), key=lambda one: int(one[0]))


def named_figure(title: str, got: Got, masks: Got | None) -> bytes:
    """How often the task is named, against the number of rows, by each way."""

    def draw(axes: "Axes") -> None:
        for way, colour in _COLOURS.items():
            _line(axes, got, way, way, colour, "solid")
        if masks is not None:
            ways = next(iter(masks["by_rows"].values()))["named"]
            for way, colour in zip(ways, _MASK_COLOURS, strict=False):
                _line(axes, masks, way, f"masks: {way}", colour, "dashed")
        axes.set_xscale("log", base=2)
        axes.set_xlabel("rows")
        axes.set_ylabel("task named")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_ylim(0, 1.03)

    return drawn(title, draw)


def reliability_figure(title: str, got: Got) -> bytes:
    """The share that is right against the confidence returned, by number of rows."""

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color="#9aa7b1", linewidth=1, linestyle="dotted")
        for rows, found in by_rows(got):
            bins = found["reliability"]
            axes.plot(
                [one[0] for one in bins], [one[1] for one in bins], marker="o", label=f"{rows} rows"
            )
        axes.set_xlabel("confidence")
        axes.set_ylabel("share right")

    return drawn(title, draw, width=6.4, height=4.8)


def _line(axes: "Axes", got: Got, way: str, label: str, colour: str, style: str) -> None:
    counts = [int(count) for count, _ in by_rows(got)]
    shares = [found["named"][way] for _, found in by_rows(got)]
    axes.plot(counts, shares, color=colour, linestyle=style, marker="o", label=label)
