"""What a replica rounds to, and what it begins with."""

import pytest
from pydantic import RedisDsn

from service.engine.tiers.fleet import precision_of
from service.settings import Settings

URL = RedisDsn("redis://127.0.0.1:6379")


def test_nothing_is_rounded_where_there_is_no_redis() -> None:
    assert precision_of(Settings(redis_precision="bf16"), mixes=False) == "fp32"


@pytest.mark.parametrize(("mixes", "rounded"), [(True, "fp32"), (False, "fp16")])
def test_weights_are_rounded_unless_rows_also_run_without_any(mixes: bool, rounded: str) -> None:
    assert precision_of(Settings(redis_url=URL), mixes=mixes) == rounded


def test_a_precision_that_is_asked_for_is_taken() -> None:
    settings = Settings(redis_url=URL, redis_precision="bf16")
    assert precision_of(settings, mixes=True) == "bf16"
