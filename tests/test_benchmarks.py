"""The runner of the benchmarks; what they measure is not tested."""

from pathlib import Path

import typer
from typer.testing import CliRunner

import benchmarks.__main__ as runner

NO_PROGRAMS = {"__init__", "__main__", "random_tasks"}


def test_every_program_of_the_folder_is_run() -> None:
    folder = Path(runner.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - NO_PROGRAMS == set(runner.PROGRAMS)


def test_a_program_that_there_is_not_is_refused_by_name() -> None:
    app = typer.Typer()
    app.command()(runner.main)
    result = CliRunner().invoke(app, ["--only", "nothing"])
    assert result.exit_code == 2
    assert "no program 'nothing'; there are: mixed_batches" in result.stderr
