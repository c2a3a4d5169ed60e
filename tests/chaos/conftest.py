"""The service's small stores and real Redis, here too."""

from tests.service.conftest import (  # noqa: F401 fixtures, which pytest looks for here
    make_artifact,
    network,
    own_redis,
    store,
)
