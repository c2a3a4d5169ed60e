"""How many rows of tasks never registered are taken for one that is, by the rate that is set.

The limits of `masked_network.false_acceptance` came from other strangers than these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from masked_network.false_acceptance import most_strangeness
from masked_network.task_evidence import OwnMoments
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from training.coefficients import CoefficientRecipe
from training.evaluation import KnownTask
from training.evidence import with_evidence
from training.fitting import FitOptions
from training.image_sets import ImageSet, LabelledImages
from training.recognition import Signals, evidence_of_tasks, signals
from training.stores import StoreChoices
from training.studies.claims import Claim, at_most
from training.studies.ledger import Asked, Entry, Got
from training.studies.shared_learning import Tasks, learned_tasks
from training.studies.study import Bench, Section
from training.studies.tables import markdown_table
from training.task_streams import TaskStream

ROW_COUNTS, RATES = (1, 2, 4, 16), (0.01, 0.05, 0.1, 0.2)
USUAL_RATE = 0.1
MOST_OWN_REFUSED = {1: 0.1, 16: 0.05}
"""At the usual rate, by how many rows are asked about."""

EXPLAINED = """Tasks learned from few images over one bank, looked at as several stores. *Own
refused* are rows of registered tasks that are stranger than the limit; the last columns say how
many rows of each kind of stranger are not. Claimed are the unrelated ones, in the worst store."""


@dataclass(frozen=True)
class Strangers:
    """Tasks of a stream that are never registered."""

    data: str
    stream: TaskStream
    indices: tuple[int, ...]


@dataclass(frozen=True)
class FalseAcceptance:
    """All of `groups` in one bank; a store is the groups of these places, and who comes to it."""

    name: str
    title: str
    groups: tuple[Tasks, ...]
    stores: Mapping[str, tuple[tuple[int, ...], tuple[str, ...]]]
    unrelated: tuple[str, ...]
    """Of the strangers' names, those that a rate is claimed of."""
    strangers: Mapping[str, tuple[Strangers, ...]]
    images: int = 12_000
    """That a task learns from."""
    rows: int = 256
    """Of each task and each stranger."""
    timed: bool = False

    @property
    def parts(self) -> Sequence[str]:
        return (self.name,)

    def run(self, bench: Bench, part: str) -> None:
        asked = self._asked(bench)
        images = {name: found for name in self._data if (found := bench.data.load(name))}
        if len(images) < len(self._data) or (asked and bench.ledger.find(asked)):
            return
        learned = learned_tasks(
            bench,
            self.name,
            StoreChoices("partition", 256, seed=0, spread="even"),
            self.groups,
            images,
            self._learn,
        )
        asked = self._asked(bench)
        if learned is not None and asked is not None:
            bench.ledger.add(asked, self._measured(*learned, images))
            bench.say(f"{self.name}: measured")

    def section(self, bench: Bench) -> Section:
        entry = self._entry(bench)
        got = None if entry is None else entry.got
        claims = self._claims(got)
        if got is None or entry is None:
            return Section(f"{EXPLAINED}\n\nNot measured.", claims)
        kinds = tuple(self.strangers)
        lines = [
            (
                rows,
                store,
                rate,
                f"{one['limit']:.2f}",
                f"{one['own refused']:.1%}",
                *(f"{one[kind]:.1%}" if kind in one else "" for kind in kinds),
            )
            for rows, by_store in got["by_rows"].items()
            for store, by_rate in by_store.items()
            for rate, one in by_rate.items()
        ]
        head = (
            "rows",
            "store",
            "rate",
            "limit",
            "own refused",
            *(f"taken: {kind}" for kind in kinds),
        )
        table = markdown_table(head, lines)
        return Section(f"{EXPLAINED}\n\n{table}", claims, {}, frozenset({entry.machine}))

    def _learn(
        self, store: Store, image_set: ImageSet, stream: TaskStream, index: int
    ) -> TaskArtifact:
        task = stream.task(image_set, index)
        few = replace(task, train=_first(task.train, self.images))
        artifact = self._recipe.learn(store.network, few, stream.provenance(index))
        return with_evidence(store.network, artifact, few)

    @property
    def _recipe(self) -> CoefficientRecipe:
        return CoefficientRecipe(FitOptions(1, 0.2, exposure=0.5), "int8")

    @property
    def _data(self) -> list[str]:
        strangers = (one for some in self.strangers.values() for one in some)
        return sorted({group.data for group in self.groups} | {one.data for one in strangers})

    def _measured(
        self, store: Store, known: list[KnownTask], images: Mapping[str, ImageSet]
    ) -> Got:
        network, artifacts = store.network, [one.artifact for one in known]
        evidence = evidence_of_tasks(network, artifacts)

        def asked(parts: Sequence[LabelledImages]) -> Signals:
            some = [_first(part, self.rows) for part in parts]
            inputs = [
                part.examples(network.manifest.preprocessing, network.device).inputs
                for part in some
            ]
            return signals(network, artifacts, evidence, torch.stack(inputs))

        tests = asked([one.test() for one in known])
        unknown = {
            kind: asked(
                [
                    one.stream.part(images[one.data], images[one.data].test, index)
                    for one in some
                    for index in one.indices
                ]
            )
            for kind, some in self.strangers.items()
        }
        by_rows: dict[str, Got] = {}
        for count in ROW_COUNTS:
            by_store: dict[str, Got] = {}
            for name, (groups, kinds) in self.stores.items():
                tasks = [task for group in groups for task in self._places(group)]
                few = evidence.own.of(torch.tensor(tasks))
                own = _strangeness(_under(tests, tasks, tasks), few, count)
                others = {
                    kind: _strangeness(_under(unknown[kind], tasks), few, count) for kind in kinds
                }
                by_store[name] = {str(rate): _shares(own, others, rate, count) for rate in RATES}
            by_rows[str(count)] = by_store
        return {"tasks": len(known), "by_rows": by_rows}

    def _places(self, group: int) -> range:
        start = sum(one.count for one in self.groups[:group])
        return range(start, start + self.groups[group].count)

    def _claims(self, got: Got | None) -> list[Claim]:
        def worst(what: Sequence[str], rate: float, rows: Sequence[int]) -> float | None:
            if got is None:
                return None
            shares = (
                float(by_rate[str(rate)].get(kind, 0.0))
                for count in rows
                for by_rate in got["by_rows"][str(count)].values()
                for kind in what
            )
            return max(shares)

        claims = [
            at_most(
                f"{self.name}: unrelated rows taken at a rate of {rate}",
                worst(self.unrelated, rate, ROW_COUNTS),
                rate,
                "share",
            )
            for rate in RATES
        ]
        return claims + [
            at_most(
                f"{self.name}: own refused at a rate of {USUAL_RATE}, rows: {count}",
                worst(("own refused",), USUAL_RATE, (count,)),
                bound,
                "share",
            )
            for count, bound in MOST_OWN_REFUSED.items()
        ]

    def _entry(self, bench: Bench) -> Entry | None:
        asked = self._asked(bench)
        return None if asked is None else bench.ledger.find(asked)

    def _asked(self, bench: Bench) -> Asked | None:
        prints = [bench.data.fingerprint(name) for name in self._data]
        if None in prints:
            return None
        limits = [[most_strangeness(rate, rows) for rate in RATES] for rows in ROW_COUNTS]
        return {
            "study": self.name,
            "fingerprints": prints,
            "groups": [asdict(group) for group in self.groups],
            "stores": {name: [*map(list, one)] for name, one in self.stores.items()},
            "strangers": {
                kind: [asdict(one) | {"indices": list(one.indices)} for one in some]
                for kind, some in self.strangers.items()
            },
            "recipe": dict(self._recipe.provenance()),
            "images": self.images,
            "rows": self.rows,
            "limits": limits,
        }


def _shares(own: Tensor, others: Mapping[str, Tensor], rate: float, rows: int) -> Got:
    limit = most_strangeness(rate, rows)
    return {
        "limit": limit,
        "own refused": _share(own > limit),
        **{kind: _share(values <= limit) for kind, values in others.items()},
    }


def _strangeness(found: Signals, known: OwnMoments, rows: int) -> Tensor:
    """How strange each so many rows are to the task named for them."""
    means = found.over(rows)
    return means.strangeness(known, means.scores(rows).argmax(dim=2), rows).flatten()


def _under(found: Signals, tasks: Sequence[int], sources: Sequence[int] | None = None) -> Signals:
    """Of some sources, or all, under some tasks alone."""
    rows = range(len(found.likelihoods)) if sources is None else sources
    return Signals(
        *(
            values[list(rows)][:, :, list(tasks)]
            for values in (found.likelihoods, found.entropies, found.answers)
        )
    )


def _first(part: LabelledImages, count: int) -> LabelledImages:
    return part.rows(torch.arange(min(count, len(part))))


def _share(values: Tensor) -> float:
    return round(float(values.to(torch.float64).mean()), 5)
