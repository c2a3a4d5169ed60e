"""`python -m benchmarks`: run the programs one after another, and gather their claims.

Each prints what it measured and ends with its claims as JSON; `results/` gets all of it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.claims_figure import claims_png
from model_store.files import LocalFolder
from training.studies.claims import CLAIMS_FILE, Claim, claims_json
from training.studies.machine import machine_in_words
from training.studies.tables import claims_table

CLAIMS_FIGURE = "claims.png"
RESULTS = Path(__file__).parent / "results"

PROGRAMS: dict[str, Sequence[str]] = {
    "mixed_batches": ("--quick",),
    "working_set": ("--quick", "--backbone", "lenet-300-100", "--turns", "2"),
    "cold_rows": ("--quick",),
    "http_overhead": ("--seconds", "0.5", "--turns", "3"),
    "redis_tier": ("--quick",),
    "replicas_in_step": ("--quick",),
    "many_tasks": ("--tasks", "20000"),
    "churn": ("--seconds", "120"),
    "naming_tasks": ("--tasks", "20000", "--turns", "20"),
    "gpu_kernels": (),
    "gpu_engine": (),
    "against_peers": ("--quick",),
}
"""By name, with what each is told in the quick form."""

NOT_IN_QUICK = {"against_peers"}
"""Programs that take minutes in their quick form: in that of all they run by name alone."""

OF_LEARNING: dict[str, Sequence[str]] = {
    "epoch_ratios": (),
    "epochs_from_each_start": (),
    "unknown_identity": (),
}
"""The same of programs that learn tasks first: run where they are asked for by name."""

DRAWN: dict[str, str] = {
    "churn": "churn.png",
    "mixed_batches": "mixed_batches.png",
    "working_set": "working_set.png",
    "redis_tier": "redis_tier.png",
}
"""Programs that draw a figure of their own where `--figures` says."""


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer tasks and turns.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Run this program alone; may be given again.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The folder for results.md, claims.json and figures.")
    ] = RESULTS,
) -> None:
    """Run, write the results, and exit 1 where a claim does not hold or a program failed."""
    asked = only or [name for name in PROGRAMS if not (quick and name in NOT_IN_QUICK)]
    programs = PROGRAMS | OF_LEARNING
    if unknown := set(asked) - programs.keys():
        typer.echo(
            f"error: no program {min(unknown)!r}; there are: {', '.join(programs)}", err=True
        )
        raise typer.Exit(2)
    claims: list[Claim] = []
    parts = [f"# Benchmarks\n\nMeasured on: {machine_in_words()}."]
    failed = []
    for name in asked:
        typer.echo(f"== {name}", err=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *(programs[name] if quick else ())]
        command += ["--figures", str(out)] if name in DRAWN else []
        started = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own programs
        printed, found = _parted(done.stdout)
        typer.echo(printed)
        typer.echo(f"== {name} took {time.monotonic() - started:.0f} s", err=True)
        claims += found
        parts.append(f"## {name}\n\n```\n{printed.strip()}\n```")
        if name in DRAWN and (out / DRAWN[name]).is_file():
            parts.append(f"![{name}]({DRAWN[name]})")
        if done.returncode:
            failed.append(name)
    parts[1:1] = [claims_table(claims), f"![Claims and their bounds]({CLAIMS_FIGURE})"]
    files = LocalFolder(out)
    files.write(CLAIMS_FIGURE, claims_png(claims))
    files.write("results.md", ("\n\n".join(parts) + "\n").encode())
    files.write(CLAIMS_FILE, claims_json(claims))
    typer.echo(f"{out}: {sum(claim.holds for claim in claims)} of {len(claims)} claims hold")
    if failed:
        typer.echo(f"not as claimed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def _parted(printed: str) -> tuple[str, list[Claim]]:
    """What a program printed before its claims, and those; none where it ended before them."""
    before, begun, rest = printed.rpartition("\n[\n")
    try:
        return before, [Claim(**one) for one in json.loads(f"[{rest}")] if begun else []
    except (ValueError, TypeError):
        return printed, []


if __name__ == "__main__":
    typer.run(main)
