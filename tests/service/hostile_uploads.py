"""Five hundred uploads that no stranger should get away with, the same ones each time."""

import gzip
import io
import json
import pickle  # noqa: TID251 a pickle is one of the hostile uploads
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import safetensors.torch
import torch

from model_store.task_artifact import METADATA_KEY, TaskArtifact
from model_store.task_record import SWAPPED_QUOTES

COUNT = 500
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Upload:
    """A body with its headers, for a task whose name, as it stands in a path, may be bad too."""

    kind: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    name: str = "fresh"


def corpus(artifacts: list[TaskArtifact], max_bytes: int) -> list[Upload]:
    """`COUNT` uploads, made of good artifacts, none of which may be taken."""
    draw = random.Random(20261)
    makers: list[tuple[int, Callable[[random.Random, TaskArtifact], Upload]]] = [
        (50, truncated),
        (25, noise),
        (25, huge_header),
        (20, deep_header),
        (30, wrong_offsets),
        (35, strange_tensor),
        (35, wrong_shape),
        (25, wrong_type),
        (30, wrong_values),
        (40, wrong_record),
        (20, said_twice),
        (20, not_canonical),
        (20, another_format),
        (20, wrong_media),
        (30, bomb),
        (45, wrong_json),
    ]
    made: list[Upload] = []
    for count, maker in makers:
        drawn = (maker(draw, draw.choice(artifacts)) for _ in range(2 * count))
        distinct = {(one.body, *one.headers.values()): one for one in drawn}
        made += islice(cycle(distinct.values()), count)
    good = artifacts[0].content
    made += [Upload("name", good, name=name) for name in bad_names()]
    while len(made) < COUNT:
        made.append(Upload("large", draw.randbytes(max_bytes + 1 + len(made))))
    return made


def bad_names() -> Iterator[str]:
    yield from ("..%2Fescape", "%2e%2e", "..%5C..%5Cescape", "%2Fetc%2Fpasswd", "a%2Fb", "a%00b")
    yield from ("auto", ".hidden", "-rf", "x" * 129, "x" * 5000, "a%20b", "a%0Ab", "%C3%A9", "%FF")
    yield from ("a@canary", "a@" + "0" * 64, "s3:%2F%2Fb", "%E2%80%AE", "a;b")


def framed(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else dumped(header)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def dumped(said: object) -> bytes:
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()


def parts(artifact: TaskArtifact) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<Q", artifact.content)
    header: dict[str, Any] = json.loads(artifact.content[8 : 8 + length])
    return header, artifact.content[8 + length :]


def truncated(draw: random.Random, good: TaskArtifact) -> Upload:
    content = good.content
    cut = draw.randrange(len(content))
    return Upload("truncated", content[:cut] if draw.random() < 0.8 else content[cut + 1 :])


def noise(draw: random.Random, good: TaskArtifact) -> Upload:
    junk = draw.randbytes(draw.randrange(2000))
    return Upload("noise", draw.choice([junk, framed(junk), good.content + junk + b"\x00"]))


def huge_header(draw: random.Random, good: TaskArtifact) -> Upload:
    said = draw.choice([100_000_000, 99_999_999, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
    said -= draw.randrange(1000)
    return Upload("huge header", struct.pack("<Q", said) + good.content[8:])


def deep_header(draw: random.Random, good: TaskArtifact) -> Upload:
    depth = draw.randrange(200, 40_000)
    opening, closing = draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
    key = draw.choice([b"coefficients", b"__metadata__"])
    nested = opening * depth + b"1" + closing * depth
    return Upload("deep header", framed(b'{"' + key + b'":' + nested + b"}"))


def wrong_offsets(draw: random.Random, good: TaskArtifact) -> Upload:
    header, body = parts(good)
    one = draw.choice([name for name in header if name != "__metadata__"])
    start, end = header[one]["data_offsets"]
    header[one]["data_offsets"] = draw.choice(
        [
            [start + draw.randrange(1, 50), end],
            [start, end + draw.randrange(1, 50)],
            [end, start],
            [-draw.randrange(1, 50), end],
            [start, 2**64 - draw.randrange(1, 50)],
            [start, 2**70 + draw.randrange(50)],
            [start + 0.5, end],
            [str(start), end],
            [],
        ]
    )
    return Upload("wrong offsets", framed(header, body))


def strange_tensor(draw: random.Random, good: TaskArtifact) -> Upload:
    names = ["../../etc/passwd", "/tmp/x", "C:\\x", "a\x00b", "__class__", "", "supermask/none"]
    name = draw.choice([*names, "coefficients ", "\u202ecoefficients", "x" * 5000])
    tensors = dict(good.tensors) | {name: torch.zeros(draw.randrange(1, 40), dtype=torch.uint8)}
    if draw.random() < 0.5:
        del tensors[draw.choice(list(good.tensors))]
    return Upload("strange tensor", saved(good, tensors))


def saved(good: TaskArtifact, tensors: dict[str, torch.Tensor]) -> bytes:
    content: bytes = safetensors.torch.save(tensors, {METADATA_KEY: good.record.to_text()})
    return content


def wrong_shape(draw: random.Random, good: TaskArtifact) -> Upload:
    name = draw.choice([one for one in good.tensors if not one.startswith("supermask-ind")])
    right = good.tensors[name]
    other = draw.randrange(1, 400)
    wrong = torch.zeros(other + (other == len(right)), dtype=right.dtype)
    shaped = draw.choice([wrong, wrong.unsqueeze(0), right.unsqueeze(1), wrong[:0]])
    return Upload("wrong K", saved(good, dict(good.tensors) | {name: shaped}))


def wrong_type(draw: random.Random, good: TaskArtifact) -> Upload:
    name = draw.choice(list(good.tensors))
    right = good.tensors[name]
    types = [torch.float32, torch.float64, torch.bool, torch.int64, torch.bfloat16, torch.int16]
    return Upload(
        "wrong type", saved(good, dict(good.tensors) | {name: right.to(draw.choice(types))})
    )


def wrong_values(draw: random.Random, good: TaskArtifact) -> Upload:
    name, right = next(iter(good.tensors.items()))
    if right.dtype != torch.float16:  # a layer's bits: fewer kept than bits are the way to say
        return Upload("wrong values", saved(good, dict(good.tensors) | {name: right * 0}))
    values = right.clone()
    values[draw.randrange(len(values))] = draw.choice(
        [float("nan"), float("inf"), float("-inf"), 65504.0, -65504.0, 10_500.0]
    )
    return Upload("wrong values", saved(good, dict(good.tensors) | {name: values}))


def wrong_record(draw: random.Random, good: TaskArtifact) -> Upload:
    record = json.loads(good.record.to_text().translate(SWAPPED_QUOTES))
    other = f"{draw.getrandbits(64):016x}"
    made_for = record["made_for"].split(" ")
    made_for[draw.randrange(len(made_for))] = other
    record |= draw.choice(
        [
            {"made_for": " ".join(made_for)},
            {"made_for": " ".join(made_for)},
            {"made_for": " ".join(made_for)},
            {"made_for": other},
            {"made_for": "../" + record["made_for"]},
            {"classes": []},
            {"classes": ["a", "a"]},
            {"classes": ["a", "\x1b[31m" + other]},
            {"classes": [str(one) for one in range(7 + draw.randrange(1000))]},
            {"classes": 65_537},
            {"classes": ["x" * 300]},
            {"version": 3},
            {"held_out": [9, 3]},
            {"provenance": {"a": 10**30}},
            {"provenance": {str(one): one for one in range(100)}},
            {"path": "/etc/passwd"},
            {"tags": ["b", "a"]},
            {"tags": ["\x1b[31m" + other]},
            {"tags": ["../" + other]},
            {"tags": [str(one) for one in range(100, 117)]},
        ]
    )
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    metadata = {METADATA_KEY: text.translate(SWAPPED_QUOTES)}
    content: bytes = safetensors.torch.save(dict(good.tensors), metadata)
    return Upload("wrong record", content)


def said_twice(draw: random.Random, good: TaskArtifact) -> Upload:
    header, body = parts(good)
    pairs = [dumped(name) + b":" + dumped(said) for name, said in header.items()]
    pairs.insert(draw.randrange(len(pairs)), draw.choice(pairs))
    return Upload("said twice", framed(b"{" + b",".join(pairs) + b"}", body))


def not_canonical(draw: random.Random, good: TaskArtifact) -> Upload:
    header, body = parts(good)
    metadata = header.pop("__metadata__")
    strange = {"format": "pt", METADATA_KEY.upper(): "x", "__proto__": "x", "": "x"}
    key = draw.choice(list(strange))
    mixed = draw.choice([{**header, "__metadata__": metadata}, header])
    mixed = draw.choice([mixed, {"__metadata__": metadata | {key: strange[key]}, **header}])
    spaces = b" " * (8 * draw.randrange(1, 200))
    return Upload("not canonical", framed(dumped(mixed) + spaces, body))


def another_format(draw: random.Random, good: TaskArtifact) -> Upload:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../escape", good.content)
    saved_by_torch = io.BytesIO()
    torch.save(dict(good.tensors), saved_by_torch)
    bodies = [
        pickle.dumps({"task": draw.random()}),
        archive.getvalue(),
        saved_by_torch.getvalue(),
        b"\x93NUMPY\x01\x00" + draw.randbytes(100),
        b"\x89PNG\r\n\x1a\n" + draw.randbytes(100),
        b"\x7fELF" + draw.randbytes(100),
        b"<html>" + draw.randbytes(10).hex().encode(),
        b"s3://bucket/" + draw.randbytes(4).hex().encode(),
    ]
    return Upload("another format", draw.choice(bodies))


def wrong_media(draw: random.Random, good: TaskArtifact) -> Upload:
    media = ["text/plain", "application/x-pickle", "image/png", "application/xml", "a/b;c=d", "\\"]
    media += ["multipart/form-data; boundary=x", "application/json", "application/x-tar"]
    return Upload("wrong media", good.content, {"content-type": draw.choice(media)})


def bomb(draw: random.Random, good: TaskArtifact) -> Upload:
    zeros = bytes(draw.randrange(1, 12) * 1_000_000)
    whole = gzip.compress(good.content, mtime=0)
    coding, body = draw.choice(
        [
            ("gzip", gzip.compress(zeros, mtime=0)),
            ("deflate", zlib.compress(zeros)),
            ("gzip", gzip.compress(gzip.compress(zeros, mtime=0), mtime=0)),
            ("gzip", whole[: draw.randrange(len(whole))]),
            ("gzip", whole + draw.randbytes(9)),
            ("deflate", draw.randbytes(100)),
            ("br", whole),
            ("gzip, gzip", whole),
            ("zstd" + "x" * draw.randrange(99), whole),
        ]
    )
    return Upload("bomb", body, {"content-encoding": coding})


def wrong_json(draw: random.Random, good: TaskArtifact) -> Upload:
    said: dict[str, Any] = {
        "record": good.record.model_dump(mode="json"),
        "tensors": {"coefficients": {"dtype": "F16", "shape": [96], "data": [0.5] * 96}},
    }
    tensor = said["tensors"]["coefficients"]
    number = draw.randrange(2, 90)
    whole = dumped(said)
    wrong: list[Callable[[], object]] = [
        lambda: tensor.update(shape=[number]),
        lambda: tensor.update(shape=[2**62, 4, number]),
        lambda: tensor.update(shape=[-96, -1, number]),
        lambda: tensor.update(data=[0.5] * number),
        lambda: tensor.update(data=[[0.5] * number]),
        lambda: tensor.update(data=[0.5] * 95 + [None]),
        lambda: tensor.update(data=[0.5] * 95 + [10**number]),
        lambda: tensor.update(data="../" * number),
        lambda: tensor.update(dtype=draw.choice(["F32", "O", "__import__", 7, None, ["F16"]])),
        lambda: said["tensors"].update({"../" * number: tensor}),
        lambda: said["tensors"].clear(),
        lambda: said["record"].update(made_for=" ".join([f"{number:016x}"] * 3)),
        lambda: said["record"].update({f"field{number}": 1}),
        lambda: said.update({f"url{number}": "http://127.0.0.1/"}),
        lambda: said.update(record=number),
        lambda: said.update(tensors=[number]),
    ]
    if draw.random() < 0.7:
        draw.choice(wrong)()
        return Upload("wrong JSON", dumped(said), JSON)
    broken = [
        whole[:-number],
        whole.replace(b"0.5", b"NaN", 1)[: -1 or None] + b" " * number + b"}",
        whole.replace(b"0.5", b"1" + b"0" * 5000, 1),
        b'{"record":1,' + whole[1:] + b" " * number,
        b"[" * (1000 * number),
        b'{"a":' * (500 * number),
        whole.decode().encode("utf-16")[:-number],
    ]
    return Upload("broken JSON", draw.choice(broken), JSON)
