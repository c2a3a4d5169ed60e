import time
from math import inf

import pytest
from starlette.types import Scope

from service.access.key_file import Scope as Scopes
from service.access.key_ring import Key
from service.access.quotas import KeyAllowance
from service.errors import InvalidInput
from service.routes.terms import terms_of


def scope_of(timeout: str | None = None) -> Scope:
    headers = [] if timeout is None else [(b"x-request-timeout-ms", timeout.encode("latin-1"))]
    return {"type": "http", "headers": headers, "client": ("192.0.2.7", 5000)}


def test_request_says_its_own_deadline_and_else_the_default_holds() -> None:
    for said, default, seconds in (("1500", 100.0, 1.5), (None, 100.0, 0.1), ("1e3", None, 1.0)):
        terms = terms_of(scope_of(said), default)
        assert terms.caller == "192.0.2.7"
        assert terms.deadline - time.monotonic() == pytest.approx(seconds, abs=0.05)
    assert terms_of(scope_of(), None).deadline == inf


@pytest.mark.parametrize("said", ["", "soon", "0", "-5", "nan", "inf", "1e9", "1,5", "5 ms", "é"])
def test_bad_timeout_is_refused_in_words(said: str) -> None:
    with pytest.raises(InvalidInput, match="X-Request-Timeout-Ms: expected milliseconds"):
        terms_of(scope_of(said), None)


def test_key_says_for_whom_and_of_which_tenant() -> None:
    scopes: frozenset[Scopes] = frozenset({"predict"})
    allowance = KeyAllowance(None, None, lambda: None)
    key = Key("app", scopes, "acme", "tenant acme", inf, allowance)
    for timeout in (None, "1000"):
        terms = terms_of({**scope_of(timeout), "key": key}, None).within(500)
        assert (terms.caller, terms.tenant, terms.allowance) == ("tenant acme", "acme", allowance)
