"""`impress-train demo`: a small store from data at hand, and sample requests for it."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from model_store.locations import is_local
from training import options
from training.bank_command import create_with_bar
from training.choices import FitChoices
from training.coefficients import CoefficientRecipe
from training.console import errors_in_words
from training.continual import plan_tasks
from training.data_sets import load_image_set
from training.fitting import FitOptions
from training.sample_requests import write_samples
from training.store_commands import publish_with_bar
from training.stores import StoreChoices, open_store
from training.task_commands import COEFFICIENT_LEARNING_RATE, DEFAULT_EXPOSURE
from training.task_streams import TaskStream

_DEMO_TASKS = 10
_DEMO_FIT = FitChoices(30, FitOptions(30, COEFFICIENT_LEARNING_RATE, 64, DEFAULT_EXPOSURE))
_DEMO_SAMPLES = (3, 12)
"""A task of the demo store, and one that is left to be learned and uploaded."""


def make_demo(
    store: options.StoreFolder,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Where to write sample requests; `samples` beside the store if left out."
        ),
    ] = None,
) -> None:
    """A small store from real handwriting (scikit-learn's digits), and sample requests for it."""
    # Batches this small gain nothing from threads, and wait long for them on a busy machine.
    torch.set_num_threads(1)
    stream = TaskStream("permuted")
    choices = StoreChoices(kind="partition", seed=0)
    with errors_in_words():
        image_set = load_image_set("digits")
        opened = open_store(store)
        if opened is None:
            opened = create_with_bar(store, choices, image_set, stream, _DEMO_FIT)
        choices.check(store, opened.network)
        planned = plan_tasks(
            image_set,
            stream,
            range(_DEMO_TASKS),
            lambda images: CoefficientRecipe(_DEMO_FIT.for_images(images)),
        )
        publish_with_bar(store, opened, planned)
        beside = store.parent if is_local(store) else Path()
        folder = beside / "samples" if samples is None else samples
        for index in _DEMO_SAMPLES:
            for path in write_samples(folder, image_set, stream, index):
                typer.echo(f"wrote {path}")
