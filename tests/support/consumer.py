"""A worker's consumer without a model, as a process: it prints a line for each message."""

import os
import sys

from shared import logs
from shared.broker import SYNTHESISE_TASK, make_celery_app
from worker.app import consume
from worker.shutdown import GracefulShutdown

logs.configure("info")
app = make_celery_app(os.environ["TTS_REDIS_URL"])


@app.task(name=SYNTHESISE_TASK)
def synthesise() -> None:
    """Say that a message came."""
    print("message", flush=True)  # noqa: T201 - it talks to the test


if __name__ == "__main__":
    shutdown = GracefulShutdown(5.0, lambda: None)
    code = consume(app, ["tts.m"], shutdown, threads=2)
    shutdown.end()
    sys.exit(code)
