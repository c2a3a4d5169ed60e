"""One job: a task learned by a method. It is looked up in the ledger, and measured if missing."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache

from model_store.manifest import short_fingerprint
from model_store.store import Store
from training.artifacts import Recipe, artifact_accuracy
from training.fitting import Epoch
from training.image_sets import ImageSet
from training.stores import create_store, open_store
from training.studies.busy import only_here
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
    """What the ledger holds, or else what is learned and measured now.

    None of what another process is learning, or whose frozen network one is making.
    """

    # Rows that are measured one after the other are of one task, which is then made once.
    @lru_cache(maxsize=1)
    def task(stream: TaskStream, index: int) -> ImageSet:
        return stream.task(image_set, index)

    opened: dict[str, Store] = {}

    def store(job: Job) -> Store | None:
        name = _store_name(job)
        if name not in opened:
            with only_here(bench.folder, name) as alone:
                found = _opened_or_made(job, name) if alone else None
            if found is None:
                return None
            opened[name] = found
        return opened[name]

    def _opened_or_made(job: Job, name: str) -> Store:
        folder, method = bench.folder / STORES_FOLDER / name, job.method
        return open_store(folder, bench.device) or create_store(
            folder,
            method.store,
            image_set,
            method.impression_stream or job.home,
            lambda _: method.impression_fit,
            on_epoch=lambda of, epoch: bench.say(
                f"{job.study}, {job.data}, {method.name}: {of}, epoch {epoch.epoch}: "
                f"{epoch.held_out_accuracy:.4f} held out, {epoch.seconds:.0f} s"
            ),
            device=bench.device,
        )

    def learned(job: Job, store: Store) -> Measurement:
        network = store.network
        use_threads_that_help(network)
        data = task(job.stream, job.index)
        epochs: list[Epoch] = []
        start = time.perf_counter()
        artifact = job.recipe.learn(
            network,
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
            examples = data.test.examples(network.manifest.preprocessing, bench.device)
            test = artifact_accuracy(network, artifact, examples)
        store.publish(f"{job.stream.task_id(job.index)}-{_digest(job.asked)}", artifact)
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
        if entry is not None:
            return Measurement.of(entry)
        with only_here(bench.folder, _digest(job.asked)) as alone:
            if not alone:
                return None
            bench.ledger.read()
            entry = bench.ledger.find(job.asked)
            if entry is not None:
                return Measurement.of(entry)
            there = store(job)
            return None if there is None else learned(job, there)

    return obtain


def _digest(asked: Asked) -> str:
    text = json.dumps(asked, sort_keys=True)
    return short_fingerprint(hashlib.sha256(text.encode()).hexdigest())


def _store_name(job: Job) -> str:
    made_of = {"fingerprint": job.fingerprint, **job.network}
    return f"{job.study}-{job.data}-{_digest(made_of)}"
