"""Importing this sets a worker's clock wrong: `CLOCK_S` ahead in every other worker, else behind.

It comes before all modules that take the function itself, as kombu's do.
"""

import os
import time

OFFSET_S = float(os.environ.get("CLOCK_S", "0")) * (-1) ** int(os.environ["WORKER"])
real_time = time.time
time.time = lambda: real_time() + OFFSET_S
