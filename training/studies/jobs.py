"""One job: a task learned by a method. It is looked up in the ledger, and measured if missing."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, lru_cache

from model_store.manifest import short_fingerprint
from model_store.store import Store
from training.artifacts import Recipe, artifact_accuracy
from training.fitting import Epoch
from training.image_sets import ImageSet
from training.stores import create_store, open_store
from training.studies.ledger import Asked
from training.studies.measurement import Measurement, Purpose
from training.studies.methods import Method
from training.studies.study import Bench
from training.task_streams import TaskStream
from training.threads import use_threads_that_help

STORES_FOLDER = "stores"


@dataclass(frozen=True)
class Job:
    """What is to be learned, how, and what for."""

    study: str
    data: str
    fingerprint: str
    """Of the data's content."""
    home: TaskStream
    """The study's own stream, which the network is made for."""
    stream: TaskStream
    index: int
    purpose: Purpose
    method: Method
    rate: float
    seed: int

    @property
    def recipe(self) -> Recipe:
        return self.method.recipe(self.rate, self.seed)

    @property
    def network(self) -> Asked:
        """What the frozen network is made of."""
        return {
            "home": asdict(self.method.impression_stream or self.home),
            "store": {
                name: value
                for name, value in asdict(self.method.store).items()
                if value is not None
            },
            "impressions": asdict(self.method.impression_fit),
        }

    @property
    def asked(self) -> Asked:
        """The ledger's key: every setting that the result depends on."""
        return {
            "study": self.study,
            "data": self.data,
            "fingerprint": self.fingerprint,
            "stream": self.stream.provenance(self.index),
            "purpose": self.purpose,
            "method": self.method.name,
            **self.network,
            "recipe": dict(self.recipe.provenance()),
        }


Obtain = Callable[[Job], Measurement | None]


def looked_up(bench: Bench) -> Obtain:
    """What the ledger holds, and nothing else."""

    def obtain(job: Job) -> Measurement | None:
        entry = bench.ledger.find(job.asked)
        return None if entry is None else Measurement.of(entry)

    return obtain


def measured(bench: Bench, image_set: ImageSet) -> Obtain:
    """What the ledger holds, or else what is learned and measured now."""

    # Rows that are measured one after the other are of one task, which is then made once.
    @lru_cache(maxsize=1)
    def task(stream: TaskStream, index: int) -> ImageSet:
        return stream.task(image_set, index)

    @cache
    def store(name: str, method: Method, home: TaskStream) -> Store:
        folder = bench.folder / STORES_FOLDER / name
        stream = method.impression_stream or home
        return open_store(folder, bench.device) or create_store(
            folder,
            method.store,
            image_set,
            stream,
            lambda _: method.impression_fit,
            device=bench.device,
        )

    def learned(job: Job) -> Measurement:
        opened = store(_store_name(job), job.method, job.home)
        use_threads_that_help(opened.network)
        data = task(job.stream, job.index)
        epochs: list[Epoch] = []
        start = time.perf_counter()
        artifact = job.recipe.learn(
            opened.network,
            data,
            {
                "data": image_set.name,
                "data_fingerprint": short_fingerprint(job.fingerprint),
                **job.stream.provenance(job.index),
            },
            on_epoch=epochs.append,
        )
        seconds = time.perf_counter() - start
        test = None
        if job.purpose == "measuring":
            examples = data.test.examples(opened.network.manifest.preprocessing, bench.device)
            test = artifact_accuracy(opened.network, artifact, examples)
        opened.publish(f"{job.stream.task_id(job.index)}-{_digest(job.asked)}", artifact)
        got = {
            "test_accuracy": test,
            "held_out_accuracy": artifact.record.held_out_accuracy,
            "tensor_bytes": artifact.tensor_bytes,
            "file_bytes": len(artifact.content),
            "seconds": round(seconds, 3),
            "curve": [epoch.held_out_accuracy for epoch in epochs],
        }
        made = Measurement.of(bench.ledger.add(job.asked, got))
        bench.say(
            f"{job.study}, {job.data}, {job.stream.task_id(job.index)}, {job.method.name}, rate "
            f"{job.rate:g}, seed {job.seed}: {made.held_out_accuracy:.4f} held out, {seconds:.0f} s"
        )
        return made

    def obtain(job: Job) -> Measurement | None:
        entry = bench.ledger.find(job.asked)
        return learned(job) if entry is None else Measurement.of(entry)

    return obtain


def _digest(asked: Asked) -> str:
    text = json.dumps(asked, sort_keys=True)
    return short_fingerprint(hashlib.sha256(text.encode()).hexdigest())


def _store_name(job: Job) -> str:
    made_of = {"fingerprint": job.fingerprint, **job.network}
    return f"{job.study}-{job.data}-{_digest(made_of)}"
