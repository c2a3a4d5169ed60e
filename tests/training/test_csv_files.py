"""CSV files as data sets, and what is said of one that is none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from model_store.preprocessing import Preprocessing
from training.__main__ import app
from training.data_sets import Reading, load_image_set
from training.errors import DataError
from training.image_sets import ImageSet


def write_csv(
    path: Path, labels: list[str], images: NDArray[np.uint8], label_column: str = "label"
) -> None:
    """The layout of Kaggle's MNIST: the label, then pixel0 and on."""
    rows = images.reshape(len(images), -1)
    lines = [",".join([label_column, *(f"pixel{i}" for i in range(rows.shape[1]))])]
    lines += [",".join([label, *map(str, row)]) for label, row in zip(labels, rows, strict=True)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def shades(count: int, *shape: int) -> NDArray[np.uint8]:
    return (np.arange(count * int(np.prod(shape))) % 256).astype(np.uint8).reshape(count, *shape)


LABELS = [str(7 + 3 * (i % 2)) for i in range(20)]


def test_the_digits_are_the_same_from_a_csv_file(tmp_path: Path, digits: ImageSet) -> None:
    parts = (digits.train, digits.test)
    for name, part in zip(("train", "test"), parts, strict=True):
        labels = [digits.classes[label] for label in part.labels]
        write_csv(tmp_path / f"{name}.csv", labels, part.images.numpy())
    read = load_image_set(str(tmp_path))
    assert read.classes == digits.classes
    assert torch.equal(read.test.images, digits.test.images)
    assert torch.equal(read.test.labels, digits.test.labels)
    assert len(read.train) + len(read.held_out) == len(digits.train)
    assert read.fingerprint() == load_image_set(str(tmp_path)).fingerprint()


@pytest.mark.parametrize("place", ["data/train.csv", "data/anything.CSV"])
def test_one_file_is_split_alike_for_each_class(tmp_path: Path, place: str) -> None:
    write_csv(tmp_path / place, LABELS, shades(20, 4, 4))
    for source in (tmp_path / place, tmp_path / "data"):
        read = load_image_set(str(source))
        assert read.classes == ("7", "10")
        assert [len(part) for part in (read.train, read.held_out, read.test)] == [14, 2, 4]
        assert torch.bincount(read.test.labels).tolist() == [2, 2]


def test_the_shape_is_that_of_the_columns_or_of_the_size_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "photos.csv"
    colours = shades(20, 2, 5, 3)
    write_csv(file, LABELS, colours)
    with pytest.raises(DataError, match=r"30 pixel columns .* nor images of 3x3"):
        load_image_set(str(file), reading=Reading(image_size=(3, 3)))
    read = load_image_set(str(file), reading=Reading(image_size=(5, 2)))
    assert read.train.images.shape[1:] == (3, 2, 5)
    wanted = Preprocessing(channels=3, height=2, width=5, mean=0.5, std=0.5)
    again = load_image_set(str(file), wanted)
    assert again.fingerprint() == read.fingerprint()
    pixels = {row.numpy().transpose(1, 2, 0).tobytes() for row in read.train.images}
    assert pixels <= {row.tobytes() for row in colours}


def test_square_images_are_brought_to_the_size_of_a_store(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    write_csv(file, LABELS, shades(20, 4, 4))
    wanted = Preprocessing(channels=3, height=8, width=7, mean=0.5, std=0.5)
    assert load_image_set(str(file), wanted).train.images.shape[1:] == (3, 8, 7)
    small = Reading(image_size=(2, 3))
    assert load_image_set(str(file), reading=small).train.images.shape[1:] == (1, 3, 2)


def test_labels_may_be_words_in_a_column_of_any_name(tmp_path: Path) -> None:
    file = tmp_path / "pets.csv"
    write_csv(file, ["dog", "cat"] * 10, shades(20, 2, 2), "what, then")
    file.write_text(file.read_text().replace("what, then", '"what, then"'))
    read = load_image_set(str(file), reading=Reading("what, then"))
    assert read.classes == ("cat", "dog")


HEADER = "label,p0,p1,p2,p3\n"
WHOLE = "1,0,0,0,0\n2,9,9,9,9\n" * 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"bad\.csv is empty"),
        (HEADER, "no rows"),
        ("digit,p0\n1,2\n", "no column 'label', it has 'digit', 'p0'; .* --label-column"),
        ("1,0,0,0,0,0,0\n", r"no column 'label', it has '1', '0', '0', '0' and 3 more"),
        ("label,p0,p0\n1,2,3\n", "2 columns 'p0'"),
        ("label,p0,p1\n1,0,0\n", "2 pixel columns make no square .*--image-size"),
        (HEADER + WHOLE + "1,0,0,x7,0\n", "line 22, column 'p2': .* 0 to 255, got 'x7'"),
        (HEADER + WHOLE + "1,,0,0,0\n", "line 22, column 'p0': .* 0 to 255, got ''"),
        (HEADER + WHOLE + "1,0,0,0,256\n", "line 22, column 'p3': .* 0 to 255, got '256'"),
        (HEADER + WHOLE + "1,0,-1,0,0\n", "line 22, column 'p1': .* 0 to 255, got '-1'"),
        (HEADER + WHOLE + "1,0,0.5,0,0\n", "line 22, column 'p1': .* 0 to 255, got '0.5'"),
        (HEADER + WHOLE + "1,0,nan,0,0\n", "line 22, column 'p1': .* 0 to 255, got 'nan'"),
        (HEADER + WHOLE + "1,0,0,0\n", "line 22: expected 5 values, got 4"),
        (HEADER + WHOLE + ",0,0,0,0\n", "line 22: there is no label"),
        (HEADER + "1,0,0,0,0\n" * 20, "every training image is of the class '1'"),
        (HEADER + "1,0,0,0,0\n2,1,1,1,1\n", "too few images"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_in_words(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        load_image_set(str(tmp_path / "bad.csv"))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    for content in (b"label,\xff\n", HEADER.encode() + b"\xff,1,1,1,1\n"):
        (tmp_path / "bad.csv").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.csv"):
            load_image_set(str(tmp_path / "bad.csv"))
    with pytest.raises(DataError, match="no file at"):
        load_image_set(str(tmp_path / "gone.csv"))


def test_a_row_far_down_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    write_csv(file, ["1", "2"] * 3000, shades(6000, 8, 8))
    lines = file.read_text().splitlines()
    lines[5001] = lines[5001].replace(",", ",many", 5)
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line 5002, column 'pixel0'"):
        load_image_set(str(file))


def test_test_data_are_held_against_the_training_data(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", LABELS, shades(20, 2, 2))
    for labels, images, message in (
        (["8", "7"], shades(2, 2, 2), "no class '8'"),
        (["7", "10"], shades(2, 1, 1), "no column 'pixel1', which the training data has"),
    ):
        write_csv(tmp_path / "test.csv", labels, images)
        with pytest.raises(DataError, match=message):
            load_image_set(str(tmp_path))


def test_a_store_is_made_learned_and_measured_from_a_csv_file(
    tmp_path: Path, digits: ImageSet
) -> None:
    part = digits.train.rows(torch.arange(300))
    write_csv(tmp_path / "digits.csv", [str(int(i)) for i in part.labels], part.images.numpy())
    given = ["--store", str(tmp_path / "store"), "--data", str(tmp_path / "digits.csv")]
    for command in (
        ["stream", *given, "--size", "16", "--epochs", "1", "--tasks", "2"],
        ["evaluate", *given, "--trials", "1"],
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
    assert "permuted-1" in result.stdout
