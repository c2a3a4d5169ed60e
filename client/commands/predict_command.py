"""`impress predict`: what pictures, arrays and sample files show."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from client.commands.connecting import FOUND_FAULT, ApiKey, Json, Timeout, Url, connected
from client.commands.printing import print_columns, print_json
from client.commands.tags import Tags
from client.connection import DEFAULT_URL
from client.errors import InvalidInput
from client.questions import Question
from client.results import Prediction, RowPrediction
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
    tag: Tags = None,
    each_row: Annotated[
        bool, typer.Option("--each-row", help="Infer the task of each row by itself.")
    ] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> None:
    """Say what pictures, arrays or sample files show: a label for each row, and its probability.

    The rows of one file are of one task, unless --each-row says otherwise. Exits with 1 where the
    service cannot tell which.
    """
    predictions: list[tuple[Path, Prediction | tuple[RowPrediction, ...]]] = []
    question = Question(top=top, tags=tag or ())
    with connected(url, api_key, timeout, as_json) as client:
        if each_row and task is not None:
            raise InvalidInput("expected --task or --each-row, got both")
        samples = [(file, read_sample(file, client.row_length)) for file in files]
        for file, sample in samples:
            if each_row and isinstance(sample.inputs, np.ndarray):
                predictions.append((file, client.predict_each(sample.inputs, question=question)))
                continue
            named = None if each_row else task if task is not None else sample.task
            predictions.append(
                (file, client.predict(sample.inputs, named, version, question=question))
            )
    if as_json:
        named_files = [{"file": str(file), "prediction": one} for file, one in predictions]
        print_json(named_files[0]["prediction"] if len(files) == 1 else named_files)
    else:
        for file, found in predictions:
            if isinstance(found, tuple):
                _print_each(file, found)
            else:
                _print(file, found)
    answers = [one if isinstance(one, tuple) else (one,) for _, one in predictions]
    if any(each.task is None for of_file in answers for each in of_file):
        raise typer.Exit(FOUND_FAULT)


def _print_each(file: Path, rows: tuple[RowPrediction, ...]) -> None:
    typer.echo(f"{file}: {len({row.task for row in rows} - {None})} tasks of {len(rows)} rows")
    print_columns(
        [
            ("  row", "task", "confidence", "label", "probability"),
            *(
                (
                    f"  {index}",
                    row.task or "none fits",
                    "" if row.inference.confidence is None else f"{row.inference.confidence:.3f}",
                    row.label or "",
                    "" if row.probability is None else f"{row.probability:.3f}",
                )
                for index, row in enumerate(rows)
            ),
        ]
    )


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
