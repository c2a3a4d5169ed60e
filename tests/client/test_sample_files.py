import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.errors import InvalidInput
from client.inputs import Picture
from client.sample_files import read_sample

ROWS = np.random.default_rng(1).random((3, 4), dtype=np.float32)


def unasked() -> int:
    raise AssertionError("only raw numbers need the service's row length")


def npy(values: np.ndarray, **options: bool) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, values, **options)  # type: ignore[arg-type]
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", npy(ROWS)),
        ("an array without its ending", npy(ROWS)),
        ("fortran.npy", npy(np.asfortranarray(ROWS))),
        ("a.json", json.dumps({"inputs": ROWS.tolist()}).encode()),
        ("list.json", b"  " + json.dumps(ROWS.tolist()).encode()),
        ("a.f32", ROWS.tobytes()),
    ],
)
def test_rows_are_read_from_arrays_json_and_raw_numbers(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    sample = read_sample(tmp_path / name, (lambda: 4) if name == "a.f32" else unasked)
    assert np.array_equal(np.asarray(sample.inputs), ROWS)
    assert sample.task is None


def test_a_json_sample_may_name_its_task(tmp_path: Path) -> None:
    path = tmp_path / "sample.json"
    path.write_text(json.dumps({"task": "t", "inputs": [[0.5]]}))
    assert read_sample(path, unasked).task == "t"


def test_png_is_sent_as_it_is_and_another_picture_is_opened(tmp_path: Path) -> None:
    image = Image.new("L", (3, 2), 77)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "a.bmp")
    sample = read_sample(tmp_path / "a.png", unasked)
    assert sample.inputs == Picture((tmp_path / "a.png").read_bytes(), "image/png")
    opened = read_sample(tmp_path / "a.bmp", unasked).inputs
    assert isinstance(opened, Image.Image)
    assert opened.tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("pickle.npy", npy(np.array([{}]), allow_pickle=True), "Object arrays cannot be loaded"),
        ("cut.npy", npy(ROWS)[:-1], "cut.npy: "),
        ("a.f32", ROWS.tobytes()[:-1], "rows of 4 float32, 16 bytes each, got 47 bytes"),
        ("empty.f32", b"", "got 0 bytes"),
        ("broken.json", b'{"inputs": [', "expected JSON"),
        ("other.json", b'{"images": []}', "expected a list of rows, or inputs .* got images"),
        ("more.json", b'{"inputs": [[1]], "method": "x"}', "got inputs, method"),
        ("task.json", b'{"inputs": [[1]], "task": 3}', "task a name"),
        ("text.txt", b"hello", "expected PNG, JPEG, .npy"),
        ("cut.png", b"\x89PN", "expected PNG, JPEG, .npy"),
    ],
)
def test_what_is_no_sample_is_refused_by_the_files_name(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=said) as caught:
        read_sample(tmp_path / name, lambda: 4)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_sample(tmp_path / "none.npy", unasked)
    with pytest.raises(InvalidInput, match="Is a directory"):
        read_sample(tmp_path, unasked)
