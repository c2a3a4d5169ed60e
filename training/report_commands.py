"""`impress-train evaluate` and `sample`: measure a store, and write requests to try it with."""

from pathlib import Path
from typing import Annotated

import typer

from model_store.files import LocalFolder
from model_store.store import Store
from training import options
from training.adaptation_trials import adaptation_trials
from training.choices import asked_device, task_stream
from training.console import errors_in_words, output_console, progress_bar
from training.data_choices import read_data
from training.evaluation import evaluate, known_tasks
from training.figure import report_png
from training.inference_trials import infer_tasks
from training.report import Report, report_json, report_tables
from training.sample_requests import write_samples
from training.scenarios import measure_scenarios
from training.stores import store_on


def evaluate_store(
    store: options.StoreFolder,
    data: options.Data,
    json: Annotated[Path | None, typer.Option(help="Write the report to this file too.")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw the report into this file too.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many tasks.")] = None,
    trials: Annotated[
        int,
        typer.Option(
            min=1, help="Trials of task inference for each task, and batches of the scenarios."
        ),
    ] = 20,
    adapt: Annotated[
        int,
        typer.Option(
            min=0,
            help="Trials, for each task, of adapting a network to unlabelled images instead of "
            "naming their task; none where left out.",
        ),
    ] = 0,
    label_column: options.LabelColumn = None,
    skip_unreadable: options.SkipUnreadable = False,
    device: options.Device = "auto",
) -> None:
    """Accuracy, forgetting and bytes of every task, and what is right where none is named.

    The scenarios are SupSup's: GG, the task is given; GNs, it is inferred once for a batch of 128
    images and the class must be right; GNu, task and class must both be.

    With --adapt, also how well networks adapted to unlabelled images answer them.
    """
    with errors_in_words():
        opened = store_on(store, asked_device(device))
        preprocessing = opened.network.manifest.preprocessing
        image_set = read_data(data, preprocessing, label_column, skip_unreadable)
        known, left_out = known_tasks(opened, image_set, limit)
        with progress_bar() as progress:
            bar = progress.add_task("evaluating", total=(4 if adapt else 3) * len(known))
            results = evaluate(opened, known, lambda: progress.advance(bar))
            inferred = infer_tasks(opened.network, known, trials, lambda: progress.advance(bar))
            scenarios = measure_scenarios(
                opened.network, known, most_batches=trials, on_task=lambda: progress.advance(bar)
            )
            adapted = (
                adaptation_trials(opened.network, known, adapt, lambda: progress.advance(bar))
                if adapt
                else ()
            )
        report = Report(image_set.name, results, inferred, left_out, adapted, scenarios)
        for table in report_tables(report):
            output_console().print(table)
        for task_id, reason in left_out.items():
            typer.echo(f"left out {task_id}: {reason}", err=True)
        if json is not None:
            LocalFolder(json.parent).write(json.name, report_json(report))
        if png is not None:
            LocalFolder(png.parent).write(png.name, report_png(report))


def sample(
    data: options.Data,
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
    stream: options.Stream = "plain",
    index: options.Index = 0,
    task_id: options.TaskId = None,
    store: Annotated[
        Path | None, typer.Option(help="Bring images to the size that this store's tasks have.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows that name their task.")] = 4,
    unlabelled_rows: Annotated[int, typer.Option(min=1, help="Rows that do not.")] = 16,
    label_column: options.LabelColumn = None,
    skip_unreadable: options.SkipUnreadable = False,
    stream_seed: options.StreamSeed = 0,
    degrees: options.Degrees = 10.0,
    classes_per_task: options.ClassesPerTask = 2,
) -> None:
    """Write test images of a task as request bodies, and the first as a picture."""
    with errors_in_words():
        tasks = task_stream(stream, stream_seed, degrees, classes_per_task)
        preprocessing = Store.open(store).network.manifest.preprocessing if store else None
        image_set = read_data(data, preprocessing, label_column, skip_unreadable)
        written = write_samples(out, image_set, tasks, index, task_id, rows, unlabelled_rows)
        for path in written:
            typer.echo(f"wrote {path}")
