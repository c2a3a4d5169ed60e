"""`impress predict`: what pictures, arrays and sample files show."""

from pathlib import Path
from typing import Annotated

import typer

from client.commands.connecting import FOUND_FAULT, ApiKey, Json, Timeout, Url, connected
from client.commands.printing import print_columns, print_json
from client.connection import DEFAULT_URL
from client.questions import Question
from client.results import Prediction
from client.sample_files import read_sample


def predict(
    files: Annotated[
        list[Path],
        typer.Argument(help="PNG, JPEG, .npy, .f32 (raw little-endian float32), or JSON samples."),
    ],
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", help="The task; else the file's, else it is inferred."),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Of the task; else the live one answers, or its canary."),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Of the most probable tasks, where it is inferred.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Say what pictures, arrays or sample files show: a label for each row, and its probability.

    The rows of one file are of one task. Exits with 1 where the service cannot tell which.
    """
    predictions: list[tuple[Path, Prediction]] = []
    question = Question(top=top)
    with connected(url, api_key, timeout, as_json) as client:
        samples = [(file, read_sample(file, client.row_length)) for file in files]
        for file, sample in samples:
            named = task if task is not None else sample.task
            predictions.append(
                (file, client.predict(sample.inputs, named, version, question=question))
            )
    if as_json:
        named_files = [{"file": str(file), "prediction": one} for file, one in predictions]
        print_json(named_files[0]["prediction"] if len(files) == 1 else named_files)
    else:
        for file, prediction in predictions:
            _print(file, prediction)
    if any(prediction.task is None for _, prediction in predictions):
        raise typer.Exit(FOUND_FAULT)


def _print(file: Path, prediction: Prediction) -> None:
    inference = prediction.inference
    leads = "" if inference is None else f"leads by {inference.margin_nats:.3f} nats"
    if prediction.task is None:
        typer.echo(f"{file}: no task fits clearly enough: the best {leads} only")
        typer.echo("  more rows of the same task tell more, or name it with --task")
    else:
        typer.echo(f"{file}: {prediction.task}" + (f" (inferred: {leads})" if leads else ""))
        rows = zip(prediction.labels, prediction.probabilities.tolist(), strict=True)
        shown = [(f"  {row}", label, f"{share:.3f}") for row, (label, share) in enumerate(rows)]
        print_columns([("  row", "label", "probability"), *shown])
    if inference is not None and inference.candidates:
        told = [
            (f"  {one.task}", f"{one.probability:.4f}", f"{one.entropy_nats:.3f}")
            for one in inference.candidates
        ]
        print_columns([("  candidate", "probability", "entropy in nats"), *told])
