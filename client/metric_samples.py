"""`/metrics` as numbers: sums over labels, what changed between two looks, quantiles of buckets."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

from prometheus_client.parser import text_string_to_metric_families

from client.errors import UnexpectedAnswer

Labels = Mapping[str, str]
Chosen = Callable[[Labels], bool]


@dataclass(frozen=True)
class Samples:
    """Every sample of one look, as name, labels and value."""

    by_name: Mapping[str, tuple[tuple[Labels, float], ...]]

    def total(self, name: str, chosen: Chosen = lambda _: True) -> float:
        """The sum over the labels chosen; 0 where there is none."""
        return sum(value for labels, value in self.by_name.get(name, ()) if chosen(labels))

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """Sums by one label's values."""
        sums: defaultdict[str, float] = defaultdict(float)
        for labels, value in self.by_name.get(name, ()):
            sums[labels.get(label, "")] += value
        return dict(sums)

    def buckets(self, name: str, chosen: Chosen = lambda _: True) -> dict[float, float]:
        """A histogram's counts up to each bound, the last one infinite."""
        sums: defaultdict[float, float] = defaultdict(float)
        for labels, value in self.by_name.get(f"{name}_bucket", ()):
            if chosen(labels):
                sums[float(labels["le"])] += value
        return dict(sorted(sums.items()))

    def since(self, before: "Samples") -> "Samples":
        """What was counted in between; where a count fell its process is new, and it counts whole.

        Of gauges it says nothing of use.
        """
        earlier = {
            (name, frozenset(labels.items())): value
            for name, samples in before.by_name.items()
            for labels, value in samples
        }

        def grown(name: str, labels: Labels, value: float) -> float:
            past = earlier.get((name, frozenset(labels.items())), 0.0)
            return value - past if value >= past else value

        return Samples(
            {
                name: tuple((labels, grown(name, labels, value)) for labels, value in samples)
                for name, samples in self.by_name.items()
            }
        )


def samples_of(text: str) -> Samples:
    """Prometheus' text, parsed. Raises `UnexpectedAnswer` where it is none."""
    found: defaultdict[str, list[tuple[Labels, float]]] = defaultdict(list)
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name].append((sample.labels, sample.value))
    except (ValueError, IndexError) as error:
        raise UnexpectedAnswer(f"expected Prometheus' text: {error}") from error
    return Samples({name: tuple(samples) for name, samples in found.items()})


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """As Prometheus' histogram_quantile: even within a bucket. None where nothing was counted.

    Beyond the last finite bound it is that bound.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    wanted = share * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if bound == inf or count == below:
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower
