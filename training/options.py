"""The command line's options, each said once; `choices.py` makes of them what learning takes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from masked_network.backbones import BACKBONES
from masked_network.devices import DeviceName
from masked_network.mask_bank import BankKind, Spread
from model_store.coefficient_tensors import Precision
from training.batches import Augmentation
from training.fitting import OptimizerName, Schedule
from training.mask_rules import RuleName, ScoreStart
from training.starts import StartKind
from training.task_streams import StreamKind

DEFAULT_STEPS = 1000
MASK_LEARNING_RATE = 3e-3

StoreFolder = Annotated[
    Path, typer.Option("--store", help="The store's folder, or s3://bucket/prefix.")
]
Data = Annotated[
    str,
    typer.Option(
        "--data", help="`digits`, a CSV file, a folder (CSV, parquet or images), or a hub name."
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        help="The label column, where the data set has several; of CSV files, `label` if left out."
    ),
]
ImageSizeOption = Annotated[
    str | None,
    typer.Option(
        "--image-size",
        help="Resize to WIDTHxHEIGHT; the first image's size where left out. For CSV files, the "
        "shape of a row that has as many pixels.",
    ),
]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out pictures that cannot be read.")
]
Stream = Annotated[
    StreamKind, typer.Option("--stream", help="How the data set is made into tasks.")
]
StreamSeed = Annotated[int, typer.Option(min=0, help="Of the permutations.")]
Degrees = Annotated[float, typer.Option(help="Rotated: the angle between one task and the next.")]
ClassesPerTask = Annotated[int, typer.Option(min=1, help="Split: classes in a task.")]
Index = Annotated[int, typer.Option(min=0, help="Which task of the stream.")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="A word by which the task may be chosen; may be repeated."),
]
TaskId = Annotated[
    str | None, typer.Option(help="The task's name; the stream's own where left out.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write the artifact to this file for upload; do not publish."),
]

Kind = Annotated[
    BankKind | None, typer.Option("--kind", help="Of the bank; a partition where left out.")
]
KindOrAuto = Annotated[
    Literal[BankKind, "auto"] | None,
    typer.Option(
        "--kind",
        help="Of the bank; a partition where left out, with auto the best of several tried.",
    ),
]
SpreadOption = Annotated[
    Spread | None,
    typer.Option(
        "--spread",
        help="Groups of a partition or ranked bank: SIZE in every layer, or fewer in smaller ones, "
        "by the root of their weights.",
    ),
]
OwnLayers = Annotated[
    str | None,
    typer.Option(
        "--own-layers",
        help="Layers, by commas, in which the tasks of a ranked bank share nothing.",
    ),
]
Candidates = Annotated[
    str | None,
    typer.Option(
        "--candidates",
        help="With --kind auto: the kinds to try, those preferred first, with commas between; "
        "partition,atoms,random where left out.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        min=1,
        max=32768,
        help="K, the number of basis masks: 1024 of a partition or ranked bank if left out, else "
        "256.",
    ),
]
ChannelGroups = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65536,
        help="Cut each layer's output channels into so many groups, each with K coefficients of "
        "its own; 1 where left out.",
    ),
]
Density = Annotated[
    float | None, typer.Option("--density", help="Share of the weights a basis mask keeps.")
]
ErScale = Annotated[
    float | None,
    typer.Option(
        "--er-scale",
        help="Keep S (c_out + c_in) / size of each layer, at most half, instead of one density; "
        "on the small ResNet-18 a scale S of 1 keeps 0.26 % of all weights, 32 keeps 7.5 %.",
    ),
]
Learned = Annotated[
    int | None,
    typer.Option(
        "--learned",
        min=1,
        help="Mixed: how many of the SIZE basis masks are learned. Ranked: from how many tasks.",
    ),
]
StoreSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Of the weights and of the bank.")
]
Backbone = Annotated[
    str | None, typer.Option("--backbone", help=f"The architecture: {', '.join(BACKBONES)}.")
]
Outputs = Annotated[
    int | None,
    typer.Option("--outputs", min=1, max=65536, help="Output neurons; one a class if left out."),
]
FirstTask = Annotated[
    int, typer.Option(min=0, help="The first task that learned impressions come from.")
]

Epochs = Annotated[
    int | None,
    typer.Option(min=1, help=f"Passes over the data; if left out, {DEFAULT_STEPS} steps' worth."),
]
LearningRate = Annotated[
    float | None, typer.Option(help="The first step's; by cosine it falls to 0.")
]
BatchSize = Annotated[int, typer.Option(min=1)]
Patience = Annotated[
    int,
    typer.Option(
        min=0, help="Stop after so many epochs without a better held-out accuracy; 0 never does."
    ),
]
Run = Annotated[
    Path | None,
    typer.Option("--run", help="A folder for the options, the environment and each epoch's line."),
]
Exposure = Annotated[
    float,
    typer.Option(
        min=0, help="Weight of outlier exposure: more names tasks better, less is more accurate."
    ),
]
Evidence = Annotated[
    bool,
    typer.Option(
        help="Add some 430 bytes by which the service recognises the task's inputs where a request "
        "does not name it."
    ),
]
LearnerSeed = Annotated[int, typer.Option("--seed", min=0, help="Of what learning draws.")]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        help="In which coefficients are stored: int4 over a partition or ranked bank if left out, "
        "else fp16.",
    ),
]
StartOption = Annotated[
    StartKind | None,
    typer.Option(
        "--start",
        help="Where coefficients start: at random, at the mean of the tasks before (at random if "
        "there is none), at one impression, at the mean of all impressions, or at a ranked bank's "
        "origin; there if left out and the bank has one, else at random.",
    ),
]
StartIndex = Annotated[
    int | None, typer.Option(min=0, help="One-hot start: the task's own impression in the bank.")
]
Penalty = Annotated[
    float,
    typer.Option(
        min=0, help="Weight of (|alpha|_1 - 1)^2, layer by layer; ImpressLearn's is 0.005."
    ),
]
Hybrid = Annotated[
    bool,
    typer.Option(
        "--hybrid", help="A mask of its own in the last layer, coefficients in all others."
    ),
]
MaskLearningRate = Annotated[
    float | None,
    typer.Option(help=f"Hybrid: of the mask's scores; {MASK_LEARNING_RATE} where left out."),
]
Rule = Annotated[
    RuleName, typer.Option("--rule", help="Keep a share by the score's size, or each score >= 0.")
]
ScoreStartOption = Annotated[
    ScoreStart,
    typer.Option("--start", help="Scores at random, or near what the store's other masks keep."),
]
Optimizer = Annotated[OptimizerName, typer.Option("--optimizer")]
ScheduleOption = Annotated[
    Schedule, typer.Option("--schedule", help="How the learning rate goes on from the first step.")
]
Augment = Annotated[
    Augmentation,
    typer.Option(
        "--augment",
        help="crop-flip moves and mirrors images anew in each pass: for pictures of things.",
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, help="Stop after so many batches, mid-epoch too.")
]
Device = Annotated[
    DeviceName,
    typer.Option("--device", help="Where to compute; auto takes a GPU where there is one."),
]
