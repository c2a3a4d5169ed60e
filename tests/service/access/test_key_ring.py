from datetime import UTC, datetime
from typing import Any

import pytest

from service.access.key_file import KeyRecord, Scope, hash_of
from service.access.key_ring import KeyRing
from service.access.quotas import Quotas
from service.errors import Forbidden, QuotaExceeded, Unauthenticated

PREDICT: frozenset[Scope] = frozenset({"predict"})
PUBLISH_OR_ADMIN: frozenset[Scope] = frozenset({"publish", "admin"})
ADMIN: frozenset[Scope] = frozenset({"admin"})


def record(*secrets: str, **said: Any) -> KeyRecord:
    named = {"name": "app", "scopes": ["predict"], "sha256": tuple(map(hash_of, secrets))}
    return KeyRecord.model_validate(named | said)


def ring_of(*records: KeyRecord, now: float = 0) -> KeyRing:
    ring = KeyRing(Quotas(lambda: None, lambda: now), lambda: now)
    ring.replace(records)
    return ring


@pytest.mark.parametrize("said", [b"Bearer a", b"bearer a", b"BEARER  a "])
def test_good_secret_is_its_key(said: bytes) -> None:
    key = ring_of(record("a", tenant="acme")).holder(said)
    assert (key.name, key.tenant, key.scopes) == ("app", "acme", PREDICT)


@pytest.mark.parametrize(
    "said",
    [
        None,
        b"",
        b"a",
        b"Bearer",
        b"Bearer ",
        b"Bearer b",
        b"Basic a",
        b"Bearer " + hash_of("a").encode(),
        b"Bearer " + b"a" * 100_000,
        b"Bearer \xff\x00",
    ],
)
def test_anything_else_is_nobodys_and_is_not_repeated(said: bytes | None) -> None:
    with pytest.raises(Unauthenticated) as raised:
        ring_of(record("a")).holder(said)
    assert hash_of("a") not in str(raised.value)


def test_both_secrets_are_good_while_a_key_is_rotated() -> None:
    ring = ring_of(record("old", "new"))
    assert ring.holder(b"Bearer old") is ring.holder(b"Bearer new")


def test_revoked_key_is_no_good_from_the_next_request_on() -> None:
    ring = ring_of(record("a"))
    ring.holder(b"Bearer a")
    ring.replace([record("b")])
    ring.holder(b"Bearer b")
    with pytest.raises(Unauthenticated):
        ring.holder(b"Bearer a")


def test_key_is_good_until_it_expires() -> None:
    when = datetime(2027, 1, 1, tzinfo=UTC)
    one = record("a", expires=when)
    ring_of(one, now=when.timestamp() - 1).holder(b"Bearer a")
    with pytest.raises(Unauthenticated):
        ring_of(one, now=when.timestamp()).holder(b"Bearer a")


def test_any_of_the_scopes_is_enough_and_another_is_not() -> None:
    ring = ring_of(record("a", scopes=["predict", "publish"]))
    ring.admitted(b"Bearer a", PREDICT)
    ring.admitted(b"Bearer a", PUBLISH_OR_ADMIN)
    with pytest.raises(Forbidden, match="scope admin"):
        ring.admitted(b"Bearer a", ADMIN)


def test_admission_counts_a_request() -> None:
    ring = ring_of(record("a", requests_per_second=2))
    ring.admitted(b"Bearer a", PREDICT)
    ring.admitted(b"Bearer a", PREDICT)
    with pytest.raises(QuotaExceeded):
        ring.admitted(b"Bearer a", PREDICT)


def test_keys_of_a_tenant_are_one_caller_and_no_key_can_name_itself_so() -> None:
    first = record("a", name="one", tenant="acme")
    second = record("b", name="two", tenant="acme")
    ring = ring_of(first, second, record("c", name="acme"))
    callers = [ring.holder(b"Bearer " + secret).caller for secret in (b"a", b"b", b"c")]
    assert callers[0] == callers[1] != callers[2]
