"""Who holds a secret: the keys by their secrets' hashes, asked for every request on every face."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from math import inf

from service.access.key_file import KeyRecord, Scope
from service.access.quotas import KeyAllowance, Quotas
from service.errors import Forbidden, Unauthenticated

_BEARER = b"bearer "
_LONGEST_SECRET = 512


@dataclass(frozen=True, slots=True)
class Key:
    """One that was presented and is good."""

    name: str
    scopes: frozenset[Scope]
    tenant: str | None
    caller: str
    """Whom the engine is fair to: all keys of a tenant are one."""
    expires: float
    """In seconds since 1970."""
    allowance: KeyAllowance
    most_tasks: int | None = None
    """That its tenant, or all who have none together, may have when it publishes another."""


class KeyRing:
    """The keys as they are now; replaced whole."""

    def __init__(self, quotas: Quotas, clock: Callable[[], float] = time.time) -> None:
        self._quotas = quotas
        self._clock = clock
        self._by_hash: dict[bytes, tuple[bytes, Key]] = {}

    def replace(self, records: Iterable[KeyRecord]) -> None:
        """From now on these keys are good, and no others."""
        records = tuple(records)
        by_hash = {}
        for record, allowance in zip(records, self._quotas.allowances(records), strict=True):
            key = _key(record, allowance)
            for digest in map(bytes.fromhex, record.sha256):
                by_hash[digest] = digest, key
        self._by_hash = by_hash

    def holder(self, authorization: bytes | None) -> Key:
        """Whose secret the header `Authorization` presents. Raises `Unauthenticated`."""
        if authorization is None:
            raise Unauthenticated("expected a key, as Authorization: Bearer KEY; there is none")
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("expected Authorization: Bearer KEY, got another scheme")
        secret = authorization[len(_BEARER) :].strip()
        if len(secret) <= _LONGEST_SECRET:
            digest = sha256(secret).digest()
            # How long it takes to find a hash tells nothing of a secret that has it.
            known, key = self._by_hash.get(digest, (b"", None))
            if key is not None and compare_digest(known, digest) and self._clock() < key.expires:
                return key
        raise Unauthenticated("the key is unknown, or was good once")

    def admitted(self, authorization: bytes | None, needs: frozenset[Scope]) -> Key:
        """The same of one who has any of the scopes, and a request left, which is counted.

        Raises `Unauthenticated`, `Forbidden` or `QuotaExceeded`.
        """
        key = self.holder(authorization)
        check_scope(key, needs)
        key.allowance.take_request()
        return key


def check_scope(key: Key, needs: frozenset[Scope]) -> None:
    """Raises `Forbidden` where the key has none of these scopes; none are needed where empty."""
    if needs and key.scopes.isdisjoint(needs):
        raise Forbidden(
            f"expected a key with the scope {' or '.join(sorted(needs))}, this one has "
            f"{' and '.join(sorted(key.scopes))}"
        )


def _key(record: KeyRecord, allowance: KeyAllowance) -> Key:
    by = f"key {record.name}" if record.tenant is None else f"tenant {record.tenant}"
    expires = inf if record.expires is None else record.expires.timestamp()
    return Key(record.name, record.scopes, record.tenant, by, expires, allowance, record.most_tasks)
