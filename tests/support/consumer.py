"""A worker's consumer without a model, as a process: it prints a line for each message."""

import os
import sys

from shared import logs
from shared.queue import SYNTHESISE, make_app
from worker.drain import Drain
from worker.main import consume

logs.configure("info")
app = make_app(os.environ["TTS_REDIS_URL"])


@app.task(name=SYNTHESISE)
def synthesise() -> None:
    """Say that a message came."""
    print("message", flush=True)  # noqa: T201 - it talks to the test


if __name__ == "__main__":
    drain = Drain(5.0, lambda: None)
    code = consume(app, "tts.m", drain, threads=2)
    drain.end()
    sys.exit(code)
