"""`impress-train bank`: make a store, its bank as asked for or the best of several tried."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import typer
from rich.table import Table

from masked_network.devices import CPU
from masked_network.mask_bank import BankKind
from model_store.locations import location
from model_store.store import Store
from training import options
from training.bank_choice import BankTrial, bank_kinds, best_trial, probe_task, try_banks
from training.choices import FitChoices, asked_device, fit_choices, task_stream
from training.coefficients import CoefficientRecipe
from training.console import described_counts, errors_in_words, output_console, progress_bar
from training.data_choices import read_data
from training.errors import OptionError
from training.image_sets import ImageSet
from training.options import (
    MASK_LEARNING_RATE,
)
from training.run_records import OnTaskEpoch, begin_run, unrecorded
from training.stores import StoreChoices, check_no_store, create_store
from training.task_commands import COEFFICIENT_LEARNING_RATE, DEFAULT_EXPOSURE
from training.task_streams import TaskStream


def make_bank(
    context: typer.Context,
    store: options.StoreFolder,
    data: options.Data,
    stream: options.Stream = "permuted",
    kind: options.KindOrAuto = None,
    candidates: options.Candidates = None,
    size: options.Size = None,
    channel_groups: options.ChannelGroups = None,
    spread: options.SpreadOption = None,
    own_layers: options.OwnLayers = None,
    density: options.Density = None,
    er_scale: options.ErScale = None,
    learned: options.Learned = None,
    seed: options.StoreSeed = None,
    backbone: options.Backbone = None,
    outputs: options.Outputs = None,
    first_task: options.FirstTask = 0,
    label_column: options.LabelColumn = None,
    skip_unreadable: options.SkipUnreadable = False,
    image_size: options.ImageSizeOption = None,
    stream_seed: options.StreamSeed = 0,
    degrees: options.Degrees = 10.0,
    classes_per_task: options.ClassesPerTask = 2,
    epochs: options.Epochs = None,
    learning_rate: options.LearningRate = None,
    batch_size: options.BatchSize = 128,
    augment: options.Augment = "none",
    run: options.Run = None,
    device: options.Device = "auto",
) -> None:
    """Make a store: the frozen network's seed and the bank of basis masks.

    A partition or random bank is kept as its seed. Heterogeneous impressions are the masks of tasks
    FIRST_TASK and on of the stream; homogeneous ones are all of task FIRST_TASK. Atoms are the
    2^n = SIZE ways in which n heterogeneous impressions overlap; a mixed bank has LEARNED of those,
    and random masks besides. The options on learning concern the impressions alone.

    With --kind auto, a task that is none of the stream's is learned over a bank of each candidate,
    for EPOCHS and else as `stream` learns by default; the first whose held-out accuracy is within a
    standard error of the highest is kept. Test data take no part.
    """
    choices = StoreChoices(
        None if kind == "auto" else kind,
        size,
        density,
        seed,
        backbone,
        outputs,
        first_task,
        er_scale,
        learned,
        channel_groups,
        spread=spread,
        own_layers=own_layers,
    )
    with errors_in_words():
        if candidates is not None and kind != "auto":
            raise OptionError("--candidates are for --kind auto")
        kinds = bank_kinds(candidates)
        tasks = task_stream(stream, stream_seed, degrees, classes_per_task)
        learning = fit_choices(
            epochs,
            learning_rate,
            MASK_LEARNING_RATE,
            batch_size,
            0.0,
            0,
            augmentation=augment,
        )
        image_set = read_data(data, None, label_column, skip_unreadable, image_size)
        typer.echo(f"{image_set.name}: {described_counts(image_set.class_counts())}")
        where = asked_device(device)
        begin = partial(begin_run, run, context.info_name, context.params, where)
        if kind == "auto":
            probing = fit_choices(
                epochs,
                None,
                COEFFICIENT_LEARNING_RATE,
                batch_size,
                DEFAULT_EXPOSURE,
                0,
                augmentation=augment,
            )
            made = _create_best(
                store, kinds, choices, image_set, tasks, learning, probing, begin, where
            )
        else:
            made = create_with_bar(store, choices, image_set, tasks, learning, begin, where)
        record = made.network.manifest.bank
        typer.echo(
            f"{location(store)}: bank {record.kind} of {record.size}, density {record.density:g}"
        )


def _create_best(
    folder: Path,
    kinds: Sequence[BankKind],
    choices: StoreChoices,
    image_set: ImageSet,
    stream: TaskStream,
    learning: FitChoices,
    probing: FitChoices,
    begin: Callable[[], OnTaskEpoch],
    device: torch.device,
) -> Store:
    check_no_store(folder)
    probe = probe_task(stream, image_set)
    recipe = CoefficientRecipe(probing.for_images(len(probe.train)))
    on_epoch = begin()
    with progress_bar() as progress:
        bar = progress.add_task("banks", total=len(kinds))

        def on_kind(kind: BankKind) -> None:
            progress.update(bar, description=kind, advance=0 if kind == kinds[0] else 1)

        trials = try_banks(
            kinds,
            choices,
            image_set,
            stream,
            probe,
            recipe,
            learning.for_images,
            on_kind,
            on_epoch,
            device,
        )
    best, network = best_trial(trials)
    output_console().print(_comparison(trials, best, probe))
    return Store.create(folder, network)


def _comparison(trials: list[BankTrial], best: BankTrial, probe: ImageSet) -> Table:
    images = len(probe.held_out)
    table = Table(title=f"Banks tried on {probe.name}, {images} held-out images")
    table.add_column("bank")
    for column in ("held out", "error", "bytes a task", "learned from", "seconds"):
        table.add_column(column, justify="right")
    table.add_column("")
    for trial in trials:
        if trial.network is None:
            table.add_row(trial.kind, "", "", "", "", "", trial.left_out)
            continue
        table.add_row(
            trial.kind,
            f"{trial.held_out_accuracy:.4f}",
            f"{trial.standard_error:.4f}",
            f"{trial.tensor_bytes:,}",
            str(trial.masks_learned),
            f"{trial.seconds:.1f}",
            "chosen" if trial is best else "",
        )
    return table


def create_with_bar(
    folder: Path,
    choices: StoreChoices,
    image_set: ImageSet,
    stream: TaskStream,
    learning: FitChoices,
    begin: Callable[[], OnTaskEpoch] = unrecorded,
    device: torch.device = CPU,
) -> Store:
    """A new store, the impressions' progress shown where there are any to learn."""
    options = choices.bank_options(1)
    on_epoch = begin()
    with progress_bar() as progress:
        bar = progress.add_task("impressions", total=options.to_learn, visible=options.to_learn > 0)
        return create_store(
            folder,
            choices,
            image_set,
            stream,
            learning.for_images,
            lambda: progress.advance(bar),
            on_epoch,
            device,
        )
