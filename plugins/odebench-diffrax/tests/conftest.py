"""The tests run from the checkout, whether or not the plugin is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
torch.set_num_threads(1)
# What is tested does not depend on how well the compiler optimises, which takes a third of the time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
