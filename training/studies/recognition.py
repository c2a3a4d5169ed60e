"""Which task is this? In the report: tasks learned over one bank, recognised by test rows alone."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from masked_network.task_posterior import WEIGHTS
from model_store.evidence_tensor import EVIDENCE
from model_store.manifest import short_fingerprint
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from training.coefficients import CoefficientRecipe
from training.evaluation import KnownTask
from training.evidence import with_evidence
from training.fitting import FitOptions
from training.image_sets import ImageSet, LabelledImages
from training.recognition_trials import (
    UNREGISTERED,
    TrialRows,
    mask_recognition,
    measured_recognition,
)
from training.stores import StoreChoices
from training.studies.busy import only_here
from training.studies.ledger import Asked, Entry, Got
from training.studies.recognition_page import Bounds, recognition_section
from training.studies.shared_learning import Tasks, learned_tasks
from training.studies.study import Bench, Section
from training.task_streams import TaskStream
from training.unknown_identity import MaskSettings

LOOK_AGAIN_SECONDS, MOST_IDLE = 1.0, 5
SUPERFLUOUS = 100
"""Outputs of the network of dedicated masks, as in the report's study of SupSup."""

COEFFICIENTS, MASKS = "coefficients", "masks"
LONG = TrialRows()
LIMITS = "by the rate of false acceptance"
NOISE = 256
"""Rows of each kind of noise."""


@dataclass(frozen=True)
class Recognition:
    """All of `groups` in one store, each by coefficients, and as dedicated masks beside them."""

    name: str
    title: str
    groups: tuple[Tasks, ...]
    strangers: tuple[Tasks, ...]
    """Tasks that are never registered."""
    bounds: Bounds
    epochs: int = 3
    rows: TrialRows = LONG
    mask_probes: int = 4
    """Of each task, for SupSup's ways on dedicated masks; 0 leaves these out."""
    timed: bool = False

    @property
    def parts(self) -> Sequence[str]:
        return (self.name,)

    @property
    def recipe(self) -> CoefficientRecipe:
        return CoefficientRecipe(FitOptions(self.epochs, 0.2, exposure=0.5), "int8")

    def run(self, bench: Bench, part: str) -> None:
        data = {group.data for group in self.groups + self.strangers}
        images = {name: found for name in data if (found := bench.data.load(name)) is not None}
        if len(images) < len(data):
            return
        idle = 0
        while idle < MOST_IDLE and not self.finished(bench, part):
            # What is left then is what others are at; who learns the last task also measures.
            if not self._advance(bench, images):
                idle += 1
                time.sleep(LOOK_AGAIN_SECONDS)

    def finished(self, bench: Bench, part: str) -> bool:
        """Whether the ledger lacks nothing."""
        bench.ledger.read()
        return all(self._entry(bench, what) is not None for what in self._whats)

    def section(self, bench: Bench) -> Section:
        entries = {what: self._entry(bench, what) for what in self._whats}
        got = {what: entry.got for what, entry in entries.items() if entry is not None}
        machines = frozenset(entry.machine for entry in entries.values() if entry is not None)
        return recognition_section(
            self.name, self.title, self.bounds, got.get(COEFFICIENTS), got.get(MASKS), machines
        )

    @property
    def _whats(self) -> tuple[str, ...]:
        return (COEFFICIENTS, MASKS) if self.mask_probes else (COEFFICIENTS,)

    def _entry(self, bench: Bench, what: str) -> Entry | None:
        asked = self._asked(bench, what)
        return None if asked is None else bench.ledger.find(asked)

    def _advance(self, bench: Bench, images: Mapping[str, ImageSet]) -> bool:
        """Learn what nobody is at, and measure where all is learned; whether that was anything."""
        for what in self._whats:
            asked = self._asked(bench, what)
            if asked is None or bench.ledger.find(asked) is not None:
                continue
            name = f"{self.name}-{what}-{_digest(_of_learning(asked))}"
            masks = what == MASKS
            learned = learned_tasks(
                bench,
                name,
                StoreChoices(
                    "partition", 256, seed=0, outputs=SUPERFLUOUS if masks else None, spread="even"
                ),
                self.groups,
                images,
                _learn_mask if masks else self._learn_coefficients,
            )
            if learned is None:
                continue
            with only_here(bench.folder, f"{name}-measuring") as alone:
                bench.ledger.read()
                if alone and bench.ledger.find(asked) is None:
                    got = self._measured(*learned, images, masks)
                    bench.ledger.add(asked, got)
                    bench.say(f"{self.name}, {what}: measured")
                    return True
        return False

    def _learn_coefficients(
        self, store: Store, image_set: ImageSet, stream: TaskStream, index: int
    ) -> TaskArtifact:
        task = stream.task(image_set, index)
        artifact = self.recipe.learn(store.network, task, stream.provenance(index))
        return with_evidence(store.network, artifact, task)

    def _measured(
        self, store: Store, known: list[KnownTask], images: Mapping[str, ImageSet], masks: bool
    ) -> Got:
        bytes_a_task = {"file_bytes": sum(len(one.artifact.content) for one in known) / len(known)}
        if masks:
            return bytes_a_task | mask_recognition(store.network, known, self.mask_probes)
        evidence = max(one.artifact.tensors[EVIDENCE].numel() for one in known)
        found = measured_recognition(store.network, known, self._unknown(images), self.rows)
        return bytes_a_task | {"evidence_bytes": evidence} | found

    def _unknown(self, images: Mapping[str, ImageSet]) -> dict[str, list[LabelledImages]]:
        shape = next(iter(images.values())).test.images.shape[1:]
        generator = torch.Generator().manual_seed(0)
        uniform = torch.randint(0, 256, (NOISE, *shape), generator=generator, dtype=torch.uint8)
        sparse = uniform * (torch.rand(NOISE, *shape, generator=generator) < 0.2)
        nothing = torch.zeros(NOISE, dtype=torch.int64)
        unregistered = [
            group.stream.part(images[group.data], images[group.data].test, index)
            for group in self.strangers
            for index in range(group.count)
        ]
        return {
            UNREGISTERED: unregistered,
            "noise": [LabelledImages(uniform, nothing), LabelledImages(sparse, nothing)],
            "empty": [LabelledImages(torch.zeros_like(uniform), nothing)],
        }

    def _asked(self, bench: Bench, what: str) -> Asked | None:
        data = sorted({group.data for group in self.groups + self.strangers})
        prints = [bench.data.fingerprint(name) for name in data]
        if None in prints:
            return None
        own: dict[str, object] = {
            "recipe": dict(self.recipe.provenance()),
            "strangers": [asdict(group) for group in self.strangers],
            "rows": asdict(self.rows),
            "weights": asdict(WEIGHTS),
            "limits": LIMITS,
        }
        if what == MASKS:
            own = {"settings": asdict(MaskSettings()), "probes": self.mask_probes}
        return {
            "study": self.name,
            "what": what,
            "fingerprints": prints,
            "groups": [asdict(group) for group in self.groups],
            **own,
        }


def _learn_mask(store: Store, image_set: ImageSet, stream: TaskStream, index: int) -> TaskArtifact:
    recipe = MaskSettings().recipe(index)
    return recipe.learn(store.network, stream.task(image_set, index), stream.provenance(index))


def _of_learning(asked: Asked) -> Asked:
    """What the tasks themselves depend on, whatever is asked of them then."""
    learning = ("study", "what", "fingerprints", "groups", "recipe", "settings")
    return {name: asked[name] for name in learning if name in asked}


def _digest(asked: Asked) -> str:
    text = json.dumps(asked, sort_keys=True)
    return short_fingerprint(hashlib.sha256(text.encode()).hexdigest())
