"""Replicas of one folder as a state machine: whatever is published, deleted, compacted, damaged,
cut short, put back or interrupted, by whom, and whichever nudges are lost or come twice, each
ends with what a replica that opens the store then has."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from prometheus_client import CollectorRegistry

from model_store.canary import Canary
from model_store.errors import StoreError
from model_store.files import LocalFolder, Stamp
from model_store.kept_versions import KEPT_VERSIONS
from model_store.network import FrozenNetwork
from model_store.segment_list import SegmentList, segment_path
from model_store.store import Store
from model_store.task_artifact import TaskArtifact
from service.engine.registry.registry import TaskRegistry
from service.errors import StoreUnavailable
from service.watching.telemetry import Telemetry
from tests.service.artifacts import MakeArtifact

REPLICAS = 3
SEGMENT_BYTES = 6000
"""A few artifacts fill one."""
SOON_NS = 25_000_000

WHO = st.integers(0, REPLICAS - 1)
TASK = st.sampled_from(["a", "b", "c", "d", "e"])
SEED = st.integers(0, 3)
SHARE = st.floats(0, 1, exclude_max=True)


class HastyFiles(LocalFolder):
    """Files that are old after a moment, so that stamps come to be trusted within a test."""

    def stamp(self, path: str) -> Stamp:
        stamp = super().stamp(path)
        old = time.time_ns() - stamp.changed_ns > SOON_NS
        return stamp._replace(changed_ns=stamp.changed_ns // 2) if old else stamp


class Killed(BaseException):
    """The writer's process is gone."""


class DyingFiles(LocalFolder):
    """A folder whose writer dies at its n-th change, half of which is done."""

    def __init__(self, root: Path, changes: int) -> None:
        super().__init__(root)
        self._left = changes

    def write(self, path: str, data: bytes) -> None:
        self._live()
        super().write(path, data)

    def append(self, path: str, data: bytes) -> None:
        if not self._left:
            super().append(path, data[: len(data) // 2])
        self._live()
        super().append(path, data)

    def remove(self, path: str) -> None:
        self._live()
        super().remove(path)

    def _live(self) -> None:
        if not self._left:
            raise Killed
        self._left -= 1


class Replica:
    """A registry of the folder with a thread of its own, as a process has them."""

    def __init__(self, folder: Path, network: FrozenNetwork) -> None:
        self.store = Store(HastyFiles(folder), network, SEGMENT_BYTES)
        self.executor = ThreadPoolExecutor(1)
        telemetry = Telemetry(CollectorRegistry())
        self.registry = TaskRegistry(self.store, self.executor, telemetry)
        try:
            self.registry.load_all()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.executor.shutdown()

    def assert_same(self, other: "Replica") -> None:
        tasks, others = self.registry.snapshot(), other.registry.snapshot()
        assert {one.task_id: one.version for one in tasks} == {
            one.task_id: one.version for one in others
        }
        assert self.registry.damaged == other.registry.damaged
        assert self.registry.version == other.registry.version
        for one, its in zip(tasks, others, strict=True):
            assert all(torch.equal(one.tensors[name], its.tensors[name]) for name in its.tensors)


class ReplicasMachine(RuleBasedStateMachine):
    def __init__(self, network: FrozenNetwork, artifacts: list[TaskArtifact]) -> None:
        super().__init__()
        self.network, self.artifacts = network, artifacts
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "store"
        Store.create(self.folder, network)
        self.loop = asyncio.new_event_loop()
        self.replicas = [Replica(self.folder, network) for _ in range(REPLICAS)]
        self.kept: dict[Path, bytes] = {}

    def run(self, *work: Awaitable[object]) -> None:
        """Together. A store that cannot be read or a task that is not there is no failure."""

        async def together() -> None:
            for one in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(one, BaseException) and not isinstance(
                    one, StoreError | StoreUnavailable
                ):
                    raise one

        self.loop.run_until_complete(together())

    def publishing(self, who: int, task: str, seed: int) -> Awaitable[object]:
        return self.replicas[who].registry.publish(task, self.artifacts[seed].content)

    def segment(self, share: float) -> Path:
        numbers = SegmentList.read(LocalFolder(self.folder)).numbers
        if not numbers:
            Store(LocalFolder(self.folder), self.network).publish("a", self.artifacts[0])
            return self.segment(share)
        return self.folder / segment_path(numbers[int(share * len(numbers))])

    def written(self, path: Path, change: Callable[[bytes], bytes]) -> None:
        """Change a file's bytes where they lie, which leaves it the same file."""
        data = path.read_bytes()
        self.kept[path] = data
        path.write_bytes(change(data))

    @rule(who=WHO, task=TASK, seed=SEED)
    def publish(self, who: int, task: str, seed: int) -> None:
        self.run(self.publishing(who, task, seed))

    @rule(task=TASK, seed=SEED)
    def trainer_publishes(self, task: str, seed: int) -> None:
        with suppress(StoreError):
            Store.open(self.folder).publish(task, self.artifacts[seed])

    @rule(who=WHO, task=TASK)
    def delete(self, who: int, task: str) -> None:
        self.run(self.replicas[who].registry.delete(task))

    @rule(who=WHO, task=TASK, seed=SEED, share=st.sampled_from([0.5, 1]))
    def try_a_canary(self, who: int, task: str, seed: int, share: float) -> None:
        artifact, versions = self.artifacts[seed], self.replicas[who].registry.versions
        self.run(versions.add(task, artifact))
        self.run(versions.set_canary(task, Canary(version=artifact.content_hash, share=share)))

    @rule(who=WHO, task=TASK)
    def end_the_canary(self, who: int, task: str) -> None:
        self.run(self.replicas[who].registry.versions.set_canary(task, None))

    @rule(who=WHO, task=TASK, seed=SEED)
    def delete_a_version(self, who: int, task: str, seed: int) -> None:
        version = self.artifacts[seed].content_hash
        self.run(self.replicas[who].registry.versions.delete(task, version))

    @rule(who=WHO, keep=st.integers(1, KEPT_VERSIONS))
    def compact(self, who: int, keep: int) -> None:
        replica = self.replicas[who]
        with suppress(StoreError):
            replica.executor.submit(replica.store.compact, keep).result()

    @rule(who=WHO)
    def nudge(self, who: int) -> None:
        self.run(self.replicas[who].registry.catch_up(thorough=False))

    @rule(who=WHO)
    def interval(self, who: int) -> None:
        self.run(self.replicas[who].registry.catch_up(thorough=True))

    @rule(who=WHO, thorough=st.booleans(), task=TASK, other=TASK, seed=SEED)
    def look_while_others_write(
        self, who: int, thorough: bool, task: str, other: str, seed: int
    ) -> None:
        first, second = ((who + step) % REPLICAS for step in (1, 2))
        self.run(
            self.replicas[who].registry.catch_up(thorough),
            self.publishing(first, task, seed),
            self.replicas[second].registry.delete(other),
            self.replicas[second].registry.catch_up(thorough),
        )

    @rule(who=WHO)
    def restart(self, who: int) -> None:
        try:
            started = Replica(self.folder, self.network)
        except StoreError:
            return
        self.replicas[who].close()
        self.replicas[who] = started

    @rule()
    def a_while_passes(self) -> None:
        time.sleep(1.5 * SOON_NS / 1e9)

    @rule(which=SHARE, where=SHARE, length=st.integers(1, 200))
    def damage(self, which: float, where: float, length: int) -> None:
        def flipped(data: bytes) -> bytes:
            at = int(where * len(data))
            return data[:at] + bytes(~one & 0xFF for one in data[at:][:length]) + data[at:][length:]

        self.written(self.segment(which), flipped)

    @rule(which=SHARE, length=st.integers(1, 1500))
    def cut(self, which: float, length: int) -> None:
        self.written(self.segment(which), lambda data: data[:-length])

    @rule(which=SHARE, junk=st.binary(min_size=1, max_size=300))
    def write_junk_behind(self, which: float, junk: bytes) -> None:
        self.written(self.segment(which), lambda data: data + junk)

    @rule(which=SHARE)
    def mend(self, which: float) -> None:
        """Write back what a damaged file held, in place."""
        path = self.segment(which)
        if path in self.kept:
            path.write_bytes(self.kept[path])

    @rule(which=SHARE)
    def keep_a_copy(self, which: float) -> None:
        path = self.segment(which)
        self.kept[path] = path.read_bytes()

    @rule(which=SHARE)
    def put_a_copy_back(self, which: float) -> None:
        path = self.segment(which)
        if path in self.kept:
            LocalFolder(self.folder).write(str(path.relative_to(self.folder)), self.kept[path])

    @rule(changes=st.integers(0, 4), task=TASK, seed=SEED, compacts=st.booleans())
    def writer_dies(self, changes: int, task: str, seed: int, compacts: bool) -> None:
        dying = Store(DyingFiles(self.folder, changes), self.network, SEGMENT_BYTES)
        with suppress(Killed, StoreError):
            if compacts:
                dying.compact()
            else:
                dying.publish(task, self.artifacts[seed])

    @rule(who=WHO, task=TASK, seed=SEED, seen=SHARE, thorough=st.booleans())
    def look_at_half_an_append(
        self, who: int, task: str, seed: int, seen: float, thorough: bool
    ) -> None:
        path = self.segment(0.999)
        before = path.read_bytes()
        self.trainer_publishes(task, seed)
        after = path.read_bytes() if path.exists() else b""
        half = len(before) + int(seen * (len(after) - len(before)))
        if after.startswith(before) and half < len(after):
            path.write_bytes(after[:half])
            self.run(self.replicas[who].registry.catch_up(thorough))
            with path.open("ab") as file:
                file.write(after[half:])

    @rule()
    def all_are_in_step_after_an_interval(self) -> None:
        try:
            fresh = Replica(self.folder, self.network)
        except StoreError:
            for replica in self.replicas:
                with pytest.raises(StoreUnavailable):
                    self.loop.run_until_complete(replica.registry.catch_up(thorough=True))
            return
        for replica in self.replicas:
            self.loop.run_until_complete(replica.registry.catch_up(thorough=True))
            replica.assert_same(fresh)
        fresh.close()

    def teardown(self) -> None:
        try:
            self.all_are_in_step_after_an_interval()
        finally:
            for replica in self.replicas:
                replica.close()
            self.loop.close()
            self.temporary.cleanup()


@pytest.mark.slow
def test_replicas_end_with_what_the_store_holds(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    artifacts = [make_artifact(seed) for seed in range(4)]

    class Machine(ReplicasMachine):
        def __init__(self) -> None:
            super().__init__(network, artifacts)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
