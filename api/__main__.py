"""`python -m api`: serve the HTTP front end with uvicorn."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from api.app import create_app
from shared import logs
from shared.errors import QueueError
from shared.settings import Settings

# Who listens to events would stay for as long as its job takes.
LONGEST_GOODBYE_S = 5


def main() -> None:
    """Parse the command line and serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    try:
        settings = Settings.load()
        app = create_app(settings)
    except QueueError as error:
        sys.exit(f"error: {error}")
    logs.configure(settings.log_level)
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_config=None,
        timeout_graceful_shutdown=LONGEST_GOODBYE_S,
    )


if __name__ == "__main__":
    main()
