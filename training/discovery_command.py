"""`impress-train discover`: learn from a stream that names no task, and see how it answers."""

import json as json_text
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer
from rich.table import Table

from model_store.files import LocalFolder
from model_store.locations import location
from model_store.store import Store
from training import options
from training.choices import asked_device, task_stream
from training.console import errors_in_words, output_console, progress_bar
from training.data_choices import read_data
from training.discovered_tasks import (
    DiscoveredTask,
    UnnamedStream,
    discover_tasks,
    measure_discovered,
)
from training.discovery import DiscoveryOptions, check_discoverable
from training.fitting import FitOptions
from training.stores import StoreChoices, open_store, store_network
from training.threads import use_threads_that_help

_OUTPUTS = 500
"""The paper's, in the scenario that gives no identity."""


def discover(
    store: options.StoreFolder,
    data: options.Data,
    tasks: Annotated[int, typer.Option(min=1, help="True tasks: 0 to TASKS-1.")] = 10,
    stream: options.Stream = "permuted",
    batches_per_task: Annotated[
        int, typer.Option(min=1, help="Of each true task, before the next begins.")
    ] = 1000,
    ask_every: Annotated[
        int, typer.Option(min=1, help="Batches from one question, which mask is to learn, on.")
    ] = 100,
    tolerance: Annotated[
        float, typer.Option(min=0, help="A new mask where T max(nu) is below 1 + this.")
    ] = 1 / 8,
    backbone: options.Backbone = None,
    outputs: Annotated[
        int | None,
        typer.Option(
            "--outputs", min=1, max=65536, help=f"Of a new store; {_OUTPUTS} if left out."
        ),
    ] = None,
    store_seed: Annotated[int | None, typer.Option(min=0, help="Of the weights.")] = None,
    label_column: options.LabelColumn = None,
    skip_unreadable: options.SkipUnreadable = False,
    image_size: options.ImageSizeOption = None,
    stream_seed: options.StreamSeed = 0,
    degrees: options.Degrees = 10.0,
    learning_rate: Annotated[float, typer.Option(help="Of RMSProp.")] = 1e-4,
    batch_size: options.BatchSize = 128,
    seed: options.LearnerSeed = 0,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Test batches of each task; all if left out.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the table to this file too.")] = None,
    device: options.Device = "auto",
) -> None:
    """Learn masks from batches that do not say their task, publish them, and measure.

    SupSup's scenario NNs: a new mask is begun where no mask's belief stands out, else the one that
    fits best goes on. Makes the store if there is none. Stopped, it leaves a whole store with the
    masks that were done; as scores are not kept, it cannot go on there.
    """
    choices = StoreChoices(seed=store_seed, backbone=backbone, outputs=outputs)
    with errors_in_words():
        learning = DiscoveryOptions(learning_rate, ask_every, tolerance, seed)
        rule = task_stream(stream, stream_seed, degrees, 1)
        where = asked_device(device)
        opened = open_store(store, where)
        if opened is not None:
            choices.check(store, opened.network)
        preprocessing = opened.network.manifest.preprocessing if opened else None
        image_set = read_data(data, preprocessing, label_column, skip_unreadable, image_size)
        unnamed = UnnamedStream(image_set, rule, tasks, batches_per_task, batch_size, seed)
        if opened is None:
            made_of = replace(choices, outputs=outputs or _OUTPUTS)
            network = store_network(
                made_of, image_set, rule, lambda _: FitOptions(1, 1.0), device=where
            )
            check_discoverable(network, len(image_set.classes))
            opened = Store.create(store, network)
        use_threads_that_help(opened.network)
        with progress_bar() as progress:
            bar = progress.add_task("discovering", total=tasks * batches_per_task)
            learned = discover_tasks(opened, unnamed, learning, lambda: progress.advance(bar))
            bar = progress.add_task("measuring", total=tasks)
            found = measure_discovered(
                opened, unnamed, learned, trials, lambda: progress.advance(bar)
            )
        masks = len(set().union(*learned))
        output_console().print(_table(found))
        typer.echo(f"{location(store)}: {masks} masks discovered in {tasks} tasks")
        if json is not None:
            LocalFolder(json.parent).write(json.name, _record(image_set.name, masks, found))


def _table(found: list[DiscoveredTask]) -> Table:
    table = Table(title="What answers where no identity was ever given (NNs)")
    for column in ("true task", "masks that learned it (batches)", "named"):
        table.add_column(column)
    for column in ("of its batches", "accuracy"):
        table.add_column(column, justify="right")
    for task in found:
        learned = ", ".join(f"{name} ({batches})" for name, batches in task.learned_from.items())
        share = f"{task.named_share:.1%}"
        table.add_row(task.task_id, learned, task.named, share, f"{task.accuracy:.4f}")
    table.add_section()
    table.add_row(f"{len(found)} tasks", "", "", "", f"{_accuracy(found):.4f}")
    return table


def _record(data: str, masks: int, found: list[DiscoveredTask]) -> bytes:
    described = {
        "data": data,
        "summary": {"tasks": len(found), "masks": masks, "NNs": _accuracy(found)},
        "tasks": [asdict(task) for task in found],
    }
    return json_text.dumps(described, indent=2).encode() + b"\n"


def _accuracy(found: list[DiscoveredTask]) -> float:
    return fmean(task.accuracy for task in found)
