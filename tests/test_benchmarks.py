"""The runner of the benchmarks; what they measure is not tested."""

import math
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import benchmarks.__main__ as runner
from benchmarks.claims_figure import claims_png, doublings_better
from training.studies.claims import Claim, at_least, at_most

NO_PROGRAMS = {"__init__", "__main__", "claims_figure", "random_tasks"}


def test_every_program_of_the_folder_is_run() -> None:
    folder = Path(runner.__file__).parent
    programs = runner.PROGRAMS | runner.OF_LEARNING
    assert {path.stem for path in folder.glob("*.py")} - NO_PROGRAMS == set(programs)


@pytest.mark.parametrize("name", runner.DRAWN)
def test_a_program_draws_the_figure_that_the_results_show(name: str) -> None:
    assert runner.DRAWN[name] == import_module(f"benchmarks.{name}").FIGURE


@pytest.mark.parametrize(
    ("claim", "better"),
    [
        (at_most("a", 1.0, 2.0, "s"), 1.0),
        (at_most("a", 4.0, 2.0, "s"), -1.0),
        (at_least("a", 4.0, 2.0, "s"), 1.0),
        (at_least("a", 0.0, 2.0, "s"), -math.inf),
        (at_most("a", 0.0, 2.0, "s"), math.inf),
        (at_most("a", 0.0, 0.0, "s"), None),
        (at_most("a", None, 2.0, "s"), None),
    ],
)
def test_a_figure_tells_better_from_worse_whichever_way_the_bound_is(
    claim: Claim, better: float | None
) -> None:
    assert doublings_better(claim) == better
    assert claims_png([claim]).startswith(b"\x89PNG")


def test_a_program_that_there_is_not_is_refused_by_name() -> None:
    app = typer.Typer()
    app.command()(runner.main)
    result = CliRunner().invoke(app, ["--only", "nothing"])
    assert result.exit_code == 2
    assert "no program 'nothing'; there are: mixed_batches" in result.stderr
