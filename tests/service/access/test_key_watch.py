import asyncio
from pathlib import Path

import pytest

from service.access.key_ring import KeyRing
from service.access.key_watch import KeyWatch
from service.access.quotas import Quotas
from service.errors import Unauthenticated
from tests.service.access.key_files import scoped, written

pytestmark = pytest.mark.anyio


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(Quotas(lambda: None))


def is_good(ring: KeyRing, header: str) -> bool:
    try:
        ring.holder(header.encode())
    except Unauthenticated:
        return False
    return True


async def test_change_of_the_file_counts_by_itself(tmp_path: Path, ring: KeyRing) -> None:
    path = tmp_path / "keys.json"
    before = written(path, app=scoped("predict"))["app"]
    watch = KeyWatch(path, ring)
    watch.start()
    assert is_good(ring, before)
    after = written(path, app=scoped("predict"), more=scoped("publish"))["app"]
    async with asyncio.timeout(10):
        while not is_good(ring, after):  # noqa: ASYNC110 it has no event
            await asyncio.sleep(0.05)
    assert not is_good(ring, before)
    await watch.close()


async def test_link_that_leads_elsewhere_counts_as_a_change(tmp_path: Path, ring: KeyRing) -> None:
    keys = [written(tmp_path / f"{index}.json", app=scoped("predict"))["app"] for index in (0, 1)]
    link = tmp_path / "keys.json"
    link.symlink_to("0.json")
    watch = KeyWatch(link, ring)
    watch.start()
    (tmp_path / "fresh").symlink_to("1.json")
    (tmp_path / "fresh").replace(link)
    async with asyncio.timeout(10):
        while not is_good(ring, keys[1]):  # noqa: ASYNC110 it has no event
            await asyncio.sleep(0.05)
    await watch.close()


@pytest.mark.parametrize("content", [None, "", '{"keys": [{"name": "app"}]}'])
def test_wrong_file_leaves_the_keys_as_they_were_and_a_right_one_mends_it(
    tmp_path: Path, ring: KeyRing, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    before = written(path, app=scoped("predict"))["app"]
    watch = KeyWatch(path, ring)
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    watch.reload()
    assert is_good(ring, before)
    assert "the keys stay as they were" in caplog.text
    after = written(path, app=scoped("predict"))["app"]
    watch.reload()
    assert is_good(ring, after)
    assert not is_good(ring, before)


def test_start_without_good_keys_fails(tmp_path: Path, ring: KeyRing) -> None:
    with pytest.raises(FileNotFoundError):
        KeyWatch(tmp_path / "none.json", ring)
    (tmp_path / "keys.json").write_text("{}")
    with pytest.raises(ValueError, match="keys_file"):
        KeyWatch(tmp_path / "keys.json", ring)
