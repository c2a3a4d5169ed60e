"""A study that learns tasks in several ways: it chooses rates, then measures every task."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from training.studies.claims import Claim
from training.studies.figures import learning_figures
from training.studies.jobs import Job, Obtain, looked_up, measured
from training.studies.measurement import Measurement, Purpose
from training.studies.methods import Method
from training.studies.study import Bench, Section
from training.studies.tables import learning_table, spoken_for
from training.task_streams import TaskStream

Claims = Callable[[str, Sequence[Measurement]], list[Claim]]
"""From a data set and what was measured on it; of nothing measured, the same claims without."""

_LOOK_AGAIN_SECONDS = 0.5

Remarks = Callable[[Sequence[Measurement]], str]


@dataclass(frozen=True)
class Planned:
    """A method, and the tasks that are learned by it with each seed."""

    method: Method
    tasks: Sequence[int]
    seeds: Sequence[int] = (0,)
    data: Sequence[str] = ()
    """The data sets that it is learned on; all of the study's if empty."""


@dataclass(frozen=True)
class LearningStudy:
    """Every planned method on every data set, tasks outermost.

    Several processes may run one part at once: each takes what none of the others is at.
    """

    name: str
    title: str
    text: str
    """What is measured here, for the page."""
    data: Sequence[str]
    stream: TaskStream
    choosing: Sequence[tuple[TaskStream, int]]
    """Tasks whose held-out data choose the rates; none of them is measured."""
    plan: Sequence[Planned]
    claims: Claims
    remarks: Remarks = lambda _: ""
    """What else the page says of a data set's measurements, as Markdown."""
    timed: bool = False

    @property
    def parts(self) -> Sequence[str]:
        return self.data

    def run(self, bench: Bench, part: str) -> None:
        image_set = bench.data.load(part)
        fingerprint = bench.data.fingerprint(part)
        if image_set is None or fingerprint is None:
            return
        obtain = measured(bench, image_set)
        while len(self._measurements(part, fingerprint, obtain)) < self._wanted(part):
            # The rest is what other processes are at.
            time.sleep(_LOOK_AGAIN_SECONDS)
            bench.ledger.read()

    def finished(self, bench: Bench, part: str) -> bool:
        """Whether the ledger lacks nothing of a part, of the data as they were last read."""
        fingerprint = bench.data.fingerprint(part)
        if fingerprint is None:
            return False
        found = self._measurements(part, fingerprint, looked_up(bench))
        return len(found) == self._wanted(part)

    def section(self, bench: Bench) -> Section:
        parts, claims, machines = [self.text], list[Claim](), set[str]()
        figures: dict[str, bytes] = {}
        for data in self.data:
            fingerprint = bench.data.fingerprint(data)
            found = (
                []
                if fingerprint is None
                else self._measurements(data, fingerprint, looked_up(bench))
            )
            planned = self._wanted(data)
            # A part of the tasks is not what is claimed of all of them.
            claims += self.claims(data, found if len(found) == planned else [])
            machines |= {one.machine for one in found}
            parts.append(f"### {self.title}: {data}")
            if not found:
                problem = bench.data.problems.get(data)
                parts.append(f"Not measured: {problem}." if problem else "Not measured.")
                continue
            if len(found) < planned:
                parts.append(f"Measured so far: {len(found)} of {planned} tasks and seeds.")
            parts += [spoken_for(found), learning_table(found)]
            remarks = self.remarks(found)
            if remarks:
                parts.append(remarks)
            for kind, png in learning_figures(f"{self.title}, {data}", found).items():
                name = f"{self.name}-{data}-{kind}.png"
                figures[name] = png
                parts.append(f"![{self.title}, {data}: {kind}]({name})")
        return Section("\n\n".join(parts), claims, figures, frozenset(machines))

    def _measurements(self, data: str, fingerprint: str, obtain: Obtain) -> list[Measurement]:
        def job(
            method: Method,
            stream: TaskStream,
            index: int,
            purpose: Purpose,
            rate: float,
            seed: int,
        ) -> Job:
            return Job(
                self.name,
                data,
                fingerprint,
                self.stream,
                stream,
                index,
                purpose,
                method,
                rate,
                seed,
            )

        def tried(method: Method, rate: float) -> float | None:
            reached = [
                obtain(job(method, stream, index, "choosing", rate, 0))
                for stream, index in self.choosing
            ]
            known = [one.held_out_accuracy for one in reached if one is not None]
            return fmean(known) if len(known) == len(reached) else None

        def chosen(method: Method) -> float | None:
            if method.rate_of is not None:
                return chosen(method.rate_of)
            if len(method.rates) == 1:
                return method.rates[0]
            reached = {rate: tried(method, rate) for rate in method.rates}
            known = {rate: share for rate, share in reached.items() if share is not None}
            return max(known, key=known.__getitem__) if len(known) == len(reached) else None

        rates = {each.method: chosen(each.method) for each in self._planned(data)}
        found = []
        for index, seed, method in self._order(data):
            rate = rates[method]
            if rate is not None:
                one = obtain(job(method, self.stream, index, "measuring", rate, seed))
                found += [] if one is None else [one]
        return found

    def _wanted(self, data: str) -> int:
        return sum(len(each.tasks) * len(each.seeds) for each in self._planned(data))

    def _planned(self, data: str) -> list[Planned]:
        return [each for each in self.plan if not each.data or data in each.data]

    def _order(self, data: str) -> Iterator[tuple[int, int, Method]]:
        plan = self._planned(data)
        for index in sorted({index for each in plan for index in each.tasks}):
            for each in plan:
                if index in each.tasks:
                    yield from ((index, seed, each.method) for seed in each.seeds)
