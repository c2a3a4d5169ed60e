"""Data sets from every source, and what is said where one cannot be read."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Pictures

from model_store.preprocessing import Preprocessing
from training.data_sets import Reading, load_image_set
from training.errors import DataError

NAMES = ["circle", "square"]


def png(shade: int, mode: str = "L", size: tuple[int, int] = (4, 3)) -> bytes:
    buffer = io.BytesIO()
    colour = shade if mode in ("L", "I;16") else (shade, 0, 0)
    Pictures.new(mode, size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


def parquet(
    folder: Path,
    split: str,
    pictures: list[bytes],
    label_columns: tuple[str, ...] = ("label",),
) -> None:
    labels = [i % 2 for i in range(len(pictures))]
    columns = {name: ClassLabel(names=NAMES) for name in label_columns}
    rows = {"img": [{"bytes": each, "path": None} for each in pictures]}
    table = Dataset.from_dict(
        {**rows, **dict.fromkeys(label_columns, labels)},
        features=Features({"img": Image(), **columns}),
    )
    folder.mkdir(exist_ok=True)
    table.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def image_folder(folder: Path, splits: dict[str, int]) -> None:
    for split, count in splits.items():
        for name in NAMES:
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                (folder / split / name / f"{i}.png").write_bytes(png(10 * i))


def test_digits_are_split_60_20_20_and_scaled_to_bytes() -> None:
    digits = load_image_set("digits")
    assert [len(part) for part in (digits.train, digits.held_out, digits.test)] == [1078, 360, 359]
    assert digits.train.images.shape[1:] == (1, 8, 8)
    assert digits.train.images.dtype == torch.uint8
    assert digits.train.images.max() == 255
    assert digits.classes == tuple("0123456789")
    assert digits.fingerprint() == load_image_set("digits").fingerprint()


def test_the_parts_of_a_data_set_share_no_image() -> None:
    digits = load_image_set("digits")
    parts = [digits.train, digits.held_out, digits.test]
    total = torch.cat([torch.bincount(part.labels, minlength=10) for part in parts])
    assert int(total.sum()) == 1797
    seen = [{image.numpy().tobytes() for image in part.images} for part in parts]
    assert not seen[0] & seen[2]
    assert not seen[0] & seen[1]


def test_a_folder_in_the_layout_of_the_hub_is_read_by_feature_types(tmp_path: Path) -> None:
    parquet(tmp_path, "train", [png(i) for i in range(20)])
    parquet(tmp_path, "test", [png(100 + i) for i in range(6)])
    read = load_image_set(str(tmp_path))
    assert [len(part) for part in (read.train, read.held_out, read.test)] == [18, 2, 6]
    assert read.train.images.shape[1:] == (1, 3, 4)
    assert read.classes == tuple(NAMES)
    shades = read.test.images[:, 0, 0, 0]
    assert shades.tolist() == [100, 101, 102, 103, 104, 105]
    assert read.test.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert torch.equal(read.train.images[:, 0, 0, 0] % 2, read.train.labels.to(torch.uint8))


def test_a_folder_of_image_folders_names_its_classes(tmp_path: Path) -> None:
    image_folder(tmp_path, {"train": 10, "test": 2})
    read = load_image_set(str(tmp_path))
    assert read.classes == tuple(NAMES)
    assert [len(part) for part in (read.train, read.held_out, read.test)] == [18, 2, 4]
    assert sorted(read.test.labels.tolist()) == [0, 0, 1, 1]


def test_test_data_is_split_off_where_there_is_none(tmp_path: Path) -> None:
    image_folder(tmp_path, {"train": 10})
    read = load_image_set(str(tmp_path))
    assert [len(part) for part in (read.train, read.held_out, read.test)] == [14, 2, 4]
    assert read.fingerprint() == load_image_set(str(tmp_path)).fingerprint()


def test_images_are_brought_to_the_size_and_colour_of_a_store(tmp_path: Path) -> None:
    parquet(tmp_path, "train", [png(i, "RGB", (5 + i, 6)) for i in range(20)])
    wanted = Preprocessing(channels=1, height=8, width=7, mean=0.5, std=0.5)
    assert load_image_set(str(tmp_path), wanted).train.images.shape[1:] == (1, 8, 7)
    assert load_image_set("digits", wanted).test.images.shape[1:] == (1, 8, 7)
    assert load_image_set(str(tmp_path)).train.images.shape[1:] == (3, 6, 5)


def test_several_label_columns_ask_for_a_choice(tmp_path: Path) -> None:
    parquet(tmp_path, "train", [png(i) for i in range(20)], ("coarse", "fine"))
    with pytest.raises(DataError, match="--label-column; found: coarse, fine"):
        load_image_set(str(tmp_path))
    assert load_image_set(str(tmp_path), reading=Reading("fine")).classes == tuple(NAMES)
    with pytest.raises(DataError, match="no label column 'medium'"):
        load_image_set(str(tmp_path), reading=Reading("medium"))


def _text_table(folder: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=NAMES)})
    table = Dataset.from_dict({"text": ["a"] * 20, "label": [0] * 20}, features=features)
    table.to_parquet(folder / "train-00000-of-00001.parquet")


def _unlabelled(folder: Path) -> None:
    features = Features({"img": Image(), "label": ClassLabel(names=NAMES)})
    rows = [{"bytes": png(0), "path": None}] * 20
    Dataset.from_dict({"img": rows, "label": [-1] * 20}, features=features).to_parquet(
        folder / "train-00000-of-00001.parquet"
    )


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(_text_table, "one image column, found 0 in text, label", id="no image column"),
        pytest.param(_unlabelled, "images without a label", id="no labels"),
        pytest.param(
            lambda folder: parquet(folder, "train", [png(0), b"no picture"] * 10),
            r"train: picture 1 is no picture",
            id="a damaged picture",
        ),
        pytest.param(
            lambda folder: parquet(folder, "train", [png(0)] + [png(0)[:40]] * 9),
            "is no picture",
            id="a truncated picture",
        ),
        pytest.param(
            lambda folder: parquet(folder, "train", [png(300, "I;16")] * 20),
            "more than 8 bits a channel",
            id="16 bits",
        ),
        pytest.param(
            lambda folder: parquet(folder, "train", [png(0), png(1)]), "too few", id="two pictures"
        ),
        pytest.param(
            lambda folder: parquet(folder, "test", [png(0)] * 20), "no split 'train'", id="no train"
        ),
        pytest.param(
            lambda folder: (folder / "train-00000-of-00001.parquet").write_bytes(b"PAR1"),
            "cannot read the data set",
            id="a damaged table",
        ),
        pytest.param(lambda _: None, "cannot read the data set", id="an empty folder"),
    ],
)
def test_a_folder_that_cannot_serve_is_refused_in_words(
    tmp_path: Path, write: Callable[[Path], object], message: str
) -> None:
    write(tmp_path)
    with pytest.raises(DataError, match=message):
        load_image_set(str(tmp_path))


def test_a_folder_that_is_not_there_is_not_sought_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder at"):
        load_image_set(str(tmp_path / "gone"))
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataError, match="is a file"):
        load_image_set(str(file))


def test_preprocessing_normalises_the_training_images() -> None:
    digits = load_image_set("digits")
    inputs = digits.train.examples(digits.preprocessing()).inputs
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-4)
    assert float(inputs.std()) == pytest.approx(1, abs=1e-3)


def test_images_without_any_contrast_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path, "train", [png(7)] * 20)
    with pytest.raises(DataError, match="every pixel"):
        load_image_set(str(tmp_path)).preprocessing()


def test_pixels_keep_their_places(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)  # [H, W, RGB]
    buffer = io.BytesIO()
    Pictures.fromarray(pixels).save(buffer, format="PNG")
    parquet(tmp_path, "train", [buffer.getvalue()] * 20)
    read = load_image_set(str(tmp_path)).train.images[0]  # [C, H, W]
    assert np.array_equal(read.numpy().transpose(1, 2, 0), pixels)


def test_a_damaged_file_is_named_or_left_out_and_counted(tmp_path: Path) -> None:
    image_folder(tmp_path, {"train": 10, "test": 3})
    (tmp_path / "train" / "circle" / "0.png").write_bytes(b"no picture")
    (tmp_path / "test" / "square" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"picture \d+ \(circle/0.png\) is no picture"):
        load_image_set(str(tmp_path))
    read = load_image_set(str(tmp_path), reading=Reading(skip_unreadable=True))
    assert read.skipped == 2
    assert len(read.train) + len(read.held_out) == 19
    assert read.test.labels.tolist() == [0, 0, 0, 1, 1]
    assert read.test.images[:, 0, 0, 0].tolist() == [0, 10, 20, 0, 20]


def test_nothing_but_damaged_files_is_refused_even_where_they_are_left_out(tmp_path: Path) -> None:
    parquet(tmp_path, "train", [b"no picture"] * 20)
    with pytest.raises(DataError, match="nor is any other"):
        load_image_set(str(tmp_path), reading=Reading(skip_unreadable=True))


def test_photographs_are_resized_to_the_size_asked_for(tmp_path: Path) -> None:
    parquet(tmp_path, "train", [png(i, "RGB", (50, 60)) for i in range(20)])
    small = Reading(image_size=(8, 6))
    assert load_image_set(str(tmp_path), reading=small).train.images.shape[1:] == (3, 6, 8)
    assert load_image_set("digits", reading=small).train.images.shape[1:] == (1, 6, 8)
