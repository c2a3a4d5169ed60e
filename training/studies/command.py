"""`impress-train report`: measure what is missing, then write the page, its figures and claims."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from masked_network.devices import DeviceName
from model_store.files import LocalFolder
from training.choices import asked_device
from training.console import errors_in_words
from training.errors import OptionError
from training.options import (
    Device,
)
from training.studies.catalogue import studies
from training.studies.claims import CLAIMS_FILE, claims_json
from training.studies.data import Source
from training.studies.inference_catalogue import inference_studies
from training.studies.machine import machine_in_words
from training.studies.page import PAGE_FILE, page
from training.studies.side_by_side import Report, default_processes, measure
from training.studies.study import Study

DataName = Annotated[str, typer.Option(help="A hub name or a folder.")]


def make_report(
    out: Annotated[Path, typer.Option(help="The folder to write to, and to go on in.")],
    mnist: DataName = "ylecun/mnist",
    fashion_mnist: DataName = "zalando-datasets/fashion_mnist",
    cifar100: DataName = "uoft-cs/cifar100",
    full: Annotated[
        bool, typer.Option("--full", help="Hours instead of minutes: all tasks, three seeds.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure this study alone; may be given again.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Side by side; one a core, four at most, if left out.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure every study; write the page, its figures and `claims.json`.

    Started again after it was stopped, however hard, it goes on with what is missing. The page
    tells of all that the folder's ledger holds. Exit status 1 where a claim of a study that was
    asked for does not hold.
    """
    sources = _sources(mnist, fashion_mnist, cifar100)
    _write(studies(full), "make report REPORT={}", out, sources, full, only, processes, device)


def make_inference_report(
    out: Annotated[Path, typer.Option(help="The folder to write to, and to go on in.")],
    mnist: DataName = "ylecun/mnist",
    fashion_mnist: DataName = "zalando-datasets/fashion_mnist",
    full: Annotated[
        bool, typer.Option("--full", help="A hundred tasks of each kind instead of ten.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure this study alone; may be given again.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Side by side; one a core, four at most, if left out.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure how tasks are recognised from rows alone; write as `report` does, and go on so."""
    sources = _sources(mnist, fashion_mnist)
    made_by = "make inference INFERENCE={}"
    _write(inference_studies(full), made_by, out, sources, full, only, processes, device)


def _sources(mnist: str, fashion_mnist: str, cifar100: str | None = None) -> dict[str, Source]:
    found = {"mnist": Source(mnist), "fashion-mnist": Source(fashion_mnist)}
    return found if cifar100 is None else {**found, "cifar100": Source(cifar100, "fine_label")}


def _write(
    known: Sequence[Study],
    made_by: str,
    out: Path,
    sources: dict[str, Source],
    full: bool,
    only: list[str] | None,
    processes: int | None,
    device: DeviceName,
) -> None:
    with errors_in_words():
        asked = set(only or (study.name for study in known))
        if unknown := asked - {study.name for study in known}:
            names = ", ".join(study.name for study in known)
            raise OptionError(f"no study {min(unknown)!r}; there are: {names}")
        where = asked_device(device)
        report = Report(out, full, sources, machine_in_words(where), where)
        problems = measure(report, sorted(asked), processes or default_processes())
        bench = report.bench()
        data = bench.data
        data.problems.update(problems)
        sections = {study.name: study.section(bench) for study in known}
        files = LocalFolder(out)
        for section in sections.values():
            for name, png in section.figures.items():
                files.write(name, png)
        titled = {study.title: sections[study.name] for study in known}
        files.write(PAGE_FILE, page(full, titled, data, made_by).encode())
        claims = [claim for section in sections.values() for claim in section.claims]
        files.write(CLAIMS_FILE, claims_json(claims))
        typer.echo(f"{out}: {sum(claim.holds for claim in claims)} of {len(claims)} claims hold")
        missed = [claim for name in asked for claim in sections[name].claims if not claim.holds]
        for claim in missed:
            typer.echo(f"does not hold: {claim.claim}", err=True)
        if missed:
            raise typer.Exit(1)
