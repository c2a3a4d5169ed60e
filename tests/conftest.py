"""What every test runs under: one torch thread, no deadline for examples, and faults counted."""

import torch
from hypothesis import settings

from service.engine.paths.exact_products import multiply_exactly
from tests.faults import (  # noqa: F401 hooks and fixtures, which pytest looks for here
    faults,
    pytest_addoption,
    pytest_configure,
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_terminal_summary,
)

torch.set_num_threads(1)
if torch.cuda.is_available():
    multiply_exactly(torch.device("cuda"))
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
