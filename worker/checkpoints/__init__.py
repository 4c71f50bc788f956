"""Checkpoints with random weights in the released format, for tests, demos and benchmarks.

They load like the released ones, and speak noise. `tiny` ones are a few megabytes, are made in
seconds, and end their speech by themselves, later for longer texts. The full sizes have the
released dimensions and never end it (see `ending`), which is what a benchmark wants.
"""

from worker.checkpoints.configs import CHECKPOINT_KINDS, CHECKPOINT_SIZES
from worker.checkpoints.make import make_checkpoint

__all__ = ["CHECKPOINT_KINDS", "CHECKPOINT_SIZES", "make_checkpoint"]
