"""What every test runs under: one torch thread, and no deadline for generated examples."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
