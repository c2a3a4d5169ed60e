"""Requests to try the service with."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.errors import DataError
from training.image_sets import ImageSet, LabelledImages
from training.sample_requests import write_samples
from training.task_streams import TaskStream


def test_samples_are_test_images_as_the_task_sees_them(tmp_path: Path, digits: ImageSet) -> None:
    stream = TaskStream("permuted")
    written = write_samples(tmp_path, digits, stream, 3, rows=2, unlabelled_rows=5)
    assert sorted(written) == sorted(tmp_path.iterdir())
    body = json.loads((tmp_path / "permuted-3.json").read_text())
    unlabelled = json.loads((tmp_path / "permuted-3-unlabelled.json").read_text())
    answers = json.loads((tmp_path / "permuted-3.labels.json").read_text())
    test = stream.task(digits, 3).test
    assert set(body) == {"task", "inputs"}
    assert body["task"] == answers["task"] == "permuted-3"
    assert set(unlabelled) == {"inputs"}
    assert (len(body["inputs"]), len(unlabelled["inputs"])) == (2, 5)
    rows = torch.tensor(unlabelled["inputs"])
    assert torch.equal((rows * 255).round().to(torch.uint8), test.images[:5].flatten(1))
    labels = [digits.classes[label] for label in test.labels[:5].tolist()]
    assert answers["permuted-3.json"] == labels[:2]
    assert answers["permuted-3-unlabelled.json"] == labels
    assert answers["permuted-3.png"] == labels[0]
    picture = Image.open(tmp_path / "permuted-3.png")
    assert picture.mode == "L"
    assert np.array_equal(np.asarray(picture), test.images[0, 0].numpy())


def test_a_coloured_sample_keeps_its_colours(tmp_path: Path) -> None:
    pixels = torch.arange(4 * 3 * 2 * 5, dtype=torch.uint8).view(4, 3, 2, 5)
    part = LabelledImages(pixels, torch.zeros(4, dtype=torch.int64))
    colours = ImageSet("colours", ("only",), part, part, part)
    write_samples(tmp_path, colours, TaskStream("plain"), 0, "mine", 1, 2)
    picture = np.asarray(Image.open(tmp_path / "mine.png"))  # [H, W, RGB]
    assert np.array_equal(picture.transpose(2, 0, 1), pixels[0].numpy())
    row = json.loads((tmp_path / "mine.json").read_text())["inputs"][0]
    assert [round(value * 255) for value in row] == pixels[0].flatten().tolist()


def test_more_rows_than_there_are_is_an_error(tmp_path: Path, digits: ImageSet) -> None:
    with pytest.raises(DataError, match="fewer than the rows asked for"):
        write_samples(tmp_path, digits, TaskStream("plain"), 0, rows=1000)
    assert not list(tmp_path.iterdir())
