"""Weights of one size, kept, used, pinned and dropped in any order."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from service.engine.tiers.kept_weights import KeptWeights
from service.engine.tiers.popularity import Popularity
from service.watching.telemetry import Telemetry

KEYS = st.sampled_from("abcdefgh")
STEPS = st.lists(st.tuples(st.sampled_from(["keep", "use", "drop", "pin", "unpin"]), KEYS))
WEIGHTS = {"layer": torch.zeros(5)}
SIZE = 20


@given(st.integers(0, 4), STEPS)
def test_the_bound_holds_and_what_is_pinned_stays(fit: int, steps: list[tuple[str, str]]) -> None:
    popularity, telemetry = Popularity(1000), Telemetry(CollectorRegistry())
    kept = KeptWeights(fit * SIZE + SIZE // 2, popularity, telemetry)
    pinned: set[str] = set()
    held: set[str] = set()
    """Of the pinned, what was kept once."""
    for step, key in steps:
        popularity.count(key)
        if step == "keep" and key not in kept:
            evicted = kept.keep(key, WEIGHTS)
            assert pinned.isdisjoint(evicted)
            assert not any(one in kept for one in evicted)
            assert key in kept or key not in pinned
        elif step == "use":
            assert (kept.use(key) is WEIGHTS) == (key in kept)
        elif step == "drop":
            kept.drop(key)
            assert key not in kept or key in pinned
        elif step == "pin" and len(pinned | {key}) <= fit:
            kept.pin(key)
            pinned.add(key)
        elif step == "unpin":
            kept.unpin(key)
            pinned.discard(key)
            assert key not in kept
        held = {one for one in held | pinned if one in pinned and (one in held or one in kept)}
        assert all(one in kept for one in held)
        count = sum(one in kept for one in "abcdefgh")
        assert count <= fit
        assert telemetry.registry.get_sample_value("impress_cache_bytes") == count * SIZE


@given(st.integers(1, 4), st.permutations("abcdefgh"))
def test_pinned_weights_take_the_place_of_the_least_lately_used(fit: int, order: list[str]) -> None:
    popularity = Popularity(1000)
    kept = KeptWeights(fit * SIZE, popularity, Telemetry(CollectorRegistry()))
    for key in order[:fit]:
        popularity.count(key)
        kept.keep(key, WEIGHTS)
    kept.pin(order[-1])
    assert kept.keep(order[-1], WEIGHTS) == [order[0]]
