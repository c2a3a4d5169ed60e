"""`impress-train stream`: fill a store with many tasks, and make it where there is none."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from model_store.locations import location
from model_store.store import Store
from training import options
from training.bank_command import create_with_bar
from training.choices import asked_device, fit_choices, hybrid_rate, task_stream
from training.coefficients import CoefficientRecipe
from training.console import errors_in_words, progress_bar
from training.continual import PlannedTask, plan_tasks, publish_tasks, unpublished
from training.data_choices import read_data
from training.errors import OptionError
from training.options import (
    MASK_LEARNING_RATE,
)
from training.run_records import OnTaskEpoch, begin_run, unrecorded
from training.starts import check_start, chosen_start
from training.stores import StoreChoices, open_store
from training.task_commands import COEFFICIENT_LEARNING_RATE, DEFAULT_EXPOSURE
from training.threads import use_threads_that_help


def learn_stream(
    context: typer.Context,
    store: options.StoreFolder,
    data: options.Data,
    tasks: Annotated[int, typer.Option(min=1, help="How many: tasks 0 to TASKS-1.")] = 10,
    stream: options.Stream = "permuted",
    kind: options.Kind = None,
    size: options.Size = None,
    channel_groups: options.ChannelGroups = None,
    spread: options.SpreadOption = None,
    own_layers: options.OwnLayers = None,
    density: options.Density = None,
    er_scale: options.ErScale = None,
    learned: options.Learned = None,
    store_seed: Annotated[
        int | None, typer.Option(min=0, help="Of the weights and of the bank.")
    ] = None,
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
    patience: options.Patience = 0,
    augment: options.Augment = "none",
    exposure: options.Exposure = DEFAULT_EXPOSURE,
    precision: options.PrecisionOption = None,
    start: options.StartOption = None,
    start_index: options.StartIndex = None,
    penalty: options.Penalty = 0.0,
    hybrid: options.Hybrid = False,
    mask_learning_rate: options.MaskLearningRate = None,
    seed: options.LearnerSeed = 0,
    evidence: options.Evidence = True,
    run: options.Run = None,
    device: options.Device = "auto",
) -> None:
    """Make the store if there is none, then learn and publish many tasks.

    Started again after it was stopped, however hard, it goes on with the tasks that are missing.
    A store that was made with other options than those given here is refused.
    """
    choices = StoreChoices(
        kind,
        size,
        density,
        store_seed,
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
        task_rule = task_stream(stream, stream_seed, degrees, classes_per_task)
        rate = COEFFICIENT_LEARNING_RATE
        learning = fit_choices(
            epochs,
            learning_rate,
            rate,
            batch_size,
            exposure,
            seed,
            patience=patience,
            augmentation=augment,
        )
        first = chosen_start(start, start_index)
        mask_rate = hybrid_rate(hybrid, mask_learning_rate)
        where = asked_device(device)
        begin = partial(begin_run, run, context.info_name, context.params, where)
        opened = open_store(store, where)
        if opened is not None:
            choices.check(store, opened.network)
        preprocessing = opened.network.manifest.preprocessing if opened else None
        image_set = read_data(data, preprocessing, label_column, skip_unreadable, image_size)
        planned = plan_tasks(
            image_set,
            task_rule,
            range(tasks),
            lambda images: CoefficientRecipe(
                learning.for_images(images), precision, first, penalty, mask_rate
            ),
        )
        made_of = choices.bank_options(1) if opened is None else opened.network.bank
        if first is not None:
            check_start(first, made_of.impressions)
        if opened is None:
            mask_learning = fit_choices(
                epochs,
                None,
                MASK_LEARNING_RATE,
                batch_size,
                0.0,
                seed,
                augmentation=augment,
            )
            opened = create_with_bar(
                store, choices, image_set, task_rule, mask_learning, begin, where
            )
        publish_with_bar(store, opened, planned, begin, evidence)


def publish_with_bar(
    folder: Path,
    store: Store,
    planned: list[PlannedTask],
    begin: Callable[[], OnTaskEpoch] = unrecorded,
    evidence: bool = True,
) -> None:
    """Learn and publish the tasks that the store does not hold; say how many those were."""
    outputs = store.network.manifest.backbone.outputs
    for task in planned:
        classes = len(task.stream.classes(task.image_set, task.index))
        if classes > outputs:
            raise OptionError(
                f"{task.task_id} has {classes} classes, but the store's backbone has "
                f"{outputs} outputs"
            )
    left = unpublished(store, planned)
    use_threads_that_help(store.network)
    on_epoch = begin()
    with progress_bar() as progress:
        bar = progress.add_task("tasks", total=sum(task.steps() for task in left))
        publish_tasks(
            store,
            left,
            lambda task: progress.update(bar, description=task.task_id),
            lambda: progress.advance(bar),
            on_epoch,
            evidence,
        )
    typer.echo(
        f"{location(folder)}: {len(left)} tasks learned, "
        f"{len(planned) - len(left)} were there already"
    )
