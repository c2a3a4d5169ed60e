"""From real handwriting to answers, through the real programs: train, serve, upload, infer."""

import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.real_parts import running_service


def train(*arguments: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "training", *arguments], cwd=folder, check=True)


def share_right(client: httpx2.Client, folder: Path, name: str) -> tuple[str | None, float]:
    """Which task answered a sample request, and how many of its labels are right."""
    answer = client.post("/v1/predict", json=json.loads((folder / name).read_text())).json()
    task = name.removesuffix(".json").removesuffix("-unlabelled")
    expected = json.loads((folder / f"{task}.labels.json").read_text())[name]
    labels = [one["label"] for one in answer["predictions"] or []]
    right = [label == truth for label, truth in zip(labels, expected, strict=True)]
    return answer["task"], sum(right) / len(right)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_trained_tasks_are_served_inferred_and_joined_by_an_upload(tmp_path: Path) -> None:
    stream = ("--data", "digits", "--stream", "permuted")
    train("stream", "--store", "store", *stream, "--tasks", "3", folder=tmp_path)
    train("task", "--store", "store", *stream, "--index", "7", "--out", "new.safetensors",
          folder=tmp_path)  # fmt: skip
    for index in ("1", "7"):
        train("sample", *stream, "--index", index, "--out", "samples", folder=tmp_path)
    samples = tmp_path / "samples"
    with running_service(tmp_path / "store") as client:
        for name in ("permuted-1.json", "permuted-1-unlabelled.json"):
            task, right = share_right(client, samples, name)
            assert task == "permuted-1"
            assert right >= 0.75
        stranger = json.loads((samples / "permuted-7-unlabelled.json").read_text())
        assert client.post("/v1/predict", json=stranger).json()["inference"]["abstained"] is True
        upload = (tmp_path / "new.safetensors").read_bytes()
        assert client.put("/v1/tasks/permuted-7", content=upload).status_code == 201
        for name in ("permuted-7.json", "permuted-7-unlabelled.json"):
            task, right = share_right(client, samples, name)
            assert task == "permuted-7"
            assert right >= 0.75
        picture = client.post(
            "/v1/predict?task=permuted-7",
            content=(samples / "permuted-7.png").read_bytes(),
            headers={"content-type": "image/png"},
        ).json()
        # The picture is the first row of the sample request.
        rows = client.post(
            "/v1/predict", json=json.loads((samples / "permuted-7.json").read_text())
        )
        first = rows.json()["predictions"][0]
        assert picture["predictions"][0]["label"] == first["label"]
        assert picture["predictions"][0]["probability"] == pytest.approx(
            first["probability"], rel=1e-3
        )
