"""The engine with a path that was told: what it answers, says and refuses."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from masked_network.compiled import compiled_kernels
from masked_network.mask_bank import random_bank
from model_store.manifest import BankRecord
from model_store.network import FrozenNetwork
from model_store.store import Store
from service.engine.engine import Engine, build_engine
from service.engine.paths.planner import ForwardPath
from service.engine.registry.entries import Rows, Terms
from service.settings import Settings
from service.watching.telemetry import Telemetry

pytestmark = pytest.mark.anyio

TASKS = tuple(f"task-{index}" for index in range(4))


@contextmanager
def engine_of(store: Store, told: ForwardPath, telemetry: Telemetry) -> Iterator[Engine]:
    threads = torch.get_num_threads()
    yield build_engine(Settings(store=Path(str(store.files)), forward_path=told), telemetry)
    torch.set_num_threads(threads)


async def predicted(engine: Engine, task: str, rows: Rows) -> Rows:
    logits = (await engine.predictor.predict(task, rows, Terms("a"))).logits
    assert logits is not None
    return logits


@pytest.mark.skipif(compiled_kernels() is None, reason="without kernels only to rounding")
async def test_mixed_rows_get_the_same_bits_whatever_else_is_asked_for(
    store: Store, telemetry: Telemetry
) -> None:
    rows = np.random.default_rng(0).random((4, 20), dtype=np.float32)
    with engine_of(store, "mixed", telemetry) as engine:
        await engine.start()
        alone = [await predicted(engine, task, rows[:1]) for task in TASKS]
        for count in (1, 2, 4):
            among = await asyncio.gather(
                *(predicted(engine, task, rows[:count]) for task in TASKS for _ in range(8))
            )
            for index, one in enumerate(alone):
                assert all(np.array_equal(got[:1], one) for got in among[8 * index : 8 * index + 8])
        assert engine.explained()["forward_path"] == "mixed"
        assert engine.explained()["last_batch"]["tasks_by_path"] == {"mixed": 4}
        # Only a mask of its own is composed.
        await predicted(engine, "masked", rows)
        assert telemetry.registry.get_sample_value("impress_compose_duration_seconds_count") == 1
        await engine.close()


async def test_grouped_rows_are_all_computed_on_composed_weights(
    store: Store, telemetry: Telemetry
) -> None:
    rows = np.zeros((1, 20), np.float32)
    with engine_of(store, "grouped", telemetry) as engine:
        await engine.start()
        await asyncio.gather(*(predicted(engine, task, rows) for task in TASKS))
        said = engine.explained()
        assert (said["forward_path"], said["mixed_path"]) == ("grouped", None)
        assert set(said["last_batch"]["tasks_by_path"]) == {"grouped"}
        assert telemetry.registry.get_sample_value("impress_compose_duration_seconds_count") == 4
        await engine.close()


def test_mixed_is_refused_where_rows_cannot_mix(
    tmp_path: Path, network: FrozenNetwork, telemetry: Telemetry
) -> None:
    bank = random_bank(network.layers, 17, 0.5, 3)
    record = BankRecord(kind="random", size=17, density=0.5, seed=3, fingerprint=bank.fingerprint())
    manifest = network.manifest.model_copy(update={"bank": record})
    other = FrozenNetwork(manifest, network.backbone, network.layers, network.weights, bank)
    store = Store.create(tmp_path / "overlapping", other)
    with (
        pytest.raises(ValueError, match="got 17 masks of a random bank"),
        engine_of(store, "mixed", telemetry),
    ):
        pass
