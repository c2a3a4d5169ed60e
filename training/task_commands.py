"""`impress-train task` and `mask`: learn one task, into a store or to a file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import typer

from model_store.files import LocalFolder
from model_store.locations import location
from model_store.task_artifact import tagged
from model_store.task_names import checked_task_name
from training import options
from training.choices import asked_device, chosen_tags, fit_choices, hybrid_rate, task_stream
from training.coefficients import CoefficientRecipe
from training.console import described_counts, errors_in_words, progress_bar
from training.continual import RecipeFor, earlier_tasks, plan_tasks
from training.data_choices import read_data
from training.dedicated_masks import MaskRecipe
from training.errors import OptionError
from training.evaluation import natural_order
from training.evidence import with_evidence
from training.mask_rules import MaskRule
from training.options import (
    MASK_LEARNING_RATE,
)
from training.run_records import OnTaskEpoch, begin_run
from training.starts import chosen_start
from training.stores import store_on
from training.task_streams import TaskStream
from training.threads import use_threads_that_help

COEFFICIENT_LEARNING_RATE = 0.1
DEFAULT_EXPOSURE = 0.5
"""Names the right one of ten Permuted MNIST tasks from one image in 97 % of trials (by the entropy
of every task), for 1.6 points of accuracy; 0.1 does so in 84 % and costs none; 0 in 55 %."""


def learn_task(
    context: typer.Context,
    store: options.StoreFolder,
    data: options.Data,
    stream: options.Stream = "plain",
    index: options.Index = 0,
    task_id: options.TaskId = None,
    tag: options.Tags = None,
    out: options.Out = None,
    label_column: options.LabelColumn = None,
    skip_unreadable: options.SkipUnreadable = False,
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
    """Learn one task's coefficients, the bank frozen; publish them, or write them with --out."""
    with errors_in_words():
        rate = COEFFICIENT_LEARNING_RATE
        choices = fit_choices(
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
        tasks = task_stream(stream, stream_seed, degrees, classes_per_task)
        where = asked_device(device)
        _learn_one(
            store,
            where,
            (data, label_column, skip_unreadable),
            tasks,
            index,
            _task_name(tasks, index, task_id, ""),
            lambda images: CoefficientRecipe(
                choices.for_images(images), precision, first, penalty, mask_rate
            ),
            out,
            evidence,
            chosen_tags(tag),
            partial(begin_run, run, context.info_name, context.params, where),
        )


def learn_mask(
    context: typer.Context,
    store: options.StoreFolder,
    data: options.Data,
    stream: options.Stream = "plain",
    index: options.Index = 0,
    task_id: options.TaskId = None,
    tag: options.Tags = None,
    out: options.Out = None,
    label_column: options.LabelColumn = None,
    skip_unreadable: options.SkipUnreadable = False,
    stream_seed: options.StreamSeed = 0,
    degrees: options.Degrees = 10.0,
    classes_per_task: options.ClassesPerTask = 2,
    rule: options.Rule = "top-k",
    density: options.Density = None,
    er_scale: options.ErScale = None,
    start: options.ScoreStartOption = "fresh",
    epochs: options.Epochs = None,
    learning_rate: options.LearningRate = None,
    batch_size: options.BatchSize = 128,
    patience: options.Patience = 0,
    augment: options.Augment = "none",
    exposure: options.Exposure = 0.0,
    optimizer: options.Optimizer = "adam",
    schedule: options.ScheduleOption = "cosine",
    steps: options.Steps = None,
    seed: options.LearnerSeed = 0,
    evidence: options.Evidence = True,
    run: options.Run = None,
    device: options.Device = "auto",
) -> None:
    """Learn a dedicated supermask for one task; publish it, or write it with --out.

    SupSup's own way is --rule threshold --optimizer rmsprop --schedule constant --learning-rate
    1e-4 --steps 1000.
    """
    with errors_in_words():
        rate = MASK_LEARNING_RATE
        choices = fit_choices(
            epochs,
            learning_rate,
            rate,
            batch_size,
            exposure,
            seed,
            optimizer,
            patience,
            schedule,
            steps,
            augment,
        )
        tasks = task_stream(stream, stream_seed, degrees, classes_per_task)
        keeping = MaskRule(rule, density, er_scale)
        where = asked_device(device)
        _learn_one(
            store,
            where,
            (data, label_column, skip_unreadable),
            tasks,
            index,
            _task_name(tasks, index, task_id, "-mask"),
            lambda images: MaskRecipe(choices.for_images(images), keeping, start),
            out,
            evidence,
            chosen_tags(tag),
            partial(begin_run, run, context.info_name, context.params, where),
        )


def _task_name(stream: TaskStream, index: int, task_id: str | None, suffix: str) -> str:
    if task_id is None and stream.kind == "plain":
        raise OptionError("a task of no stream needs a name: give --task-id, or --stream")
    return checked_task_name(task_id or stream.task_id(index) + suffix)


def _learn_one(
    folder: Path,
    device: torch.device,
    data: tuple[str, str | None, bool],
    stream: TaskStream,
    index: int,
    task_id: str,
    recipe_for: RecipeFor,
    out: Path | None,
    evidence: bool,
    tags: tuple[str, ...],
    begin: Callable[[], OnTaskEpoch],
) -> None:
    store = store_on(folder, device)
    source, label_column, skip_unreadable = data
    preprocessing = store.network.manifest.preprocessing
    image_set = read_data(source, preprocessing, label_column, skip_unreadable)
    outputs = store.network.manifest.backbone.outputs
    others = [other for other in sorted(store.task_ids(), key=natural_order) if other != task_id]
    (planned,) = plan_tasks(image_set, stream, [index], recipe_for, task_id, others)
    task = stream.task(image_set, index)
    if len(task.classes) > outputs:
        raise OptionError(
            f"{task_id} has {len(task.classes)} classes, but the store's backbone has "
            f"{outputs} outputs"
        )
    use_threads_that_help(store.network)
    earlier = earlier_tasks(store, planned)
    on_epoch = begin()
    typer.echo(f"{task_id}: {described_counts(stream.class_counts(image_set, index))}")
    with progress_bar() as progress:
        bar = progress.add_task(task_id, total=planned.steps())
        artifact = planned.recipe.learn(
            store.network,
            task,
            planned.data_provenance,
            lambda: progress.advance(bar),
            earlier,
            partial(on_epoch, task_id),
        )
    if evidence:
        artifact = with_evidence(store.network, artifact, task)
    artifact = tagged(artifact, tags)
    if artifact.record.provenance.get("start_tasks") == 0:
        typer.echo(f"{task_id}: started at random, as the store has no task to take a mean of")
    learned = (
        f"{task_id}: {artifact.record.held_out_accuracy:.3f} held out, "
        f"{artifact.tensor_bytes} bytes of tensors, {len(artifact.content)} in all"
    )
    if out is None:
        store.publish(task_id, artifact)
        typer.echo(f"{learned}; published to {location(folder)}")
    else:
        LocalFolder(out.parent).write(out.name, artifact.content)
        typer.echo(f"{learned}; written to {out}")
