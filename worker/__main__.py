"""`python -m worker`: serve one model, or several in turn, until SIGTERM."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys

from shared import logs, tracing
from shared.errors import QueueError
from shared.fitness import check_at_start
from shared.settings import Settings
from shared.storage import Storage, StorageLimits


def main() -> None:
    """Run a worker; one sentence and exit code 1 if it cannot start.

    Exit code 0 after SIGTERM, SIGHUP or Ctrl-C.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # While the model is loaded: the threads that load it would delay a normal exit.
        signal.signal(number, lambda *_: os._exit(0))
    try:
        settings = read_settings()
    except QueueError as error:
        sys.exit(logs.fatal(error))
    logs.configure(settings.log_level, settings.log_format)
    try:
        tracing.configure("qwen-tts-worker", settings.tracing)
        limits = StorageLimits.of_worker(settings.storage_timeout_s)
        check_at_start(settings, Storage.open(settings.storage_url, limits))
        # Imported late: torch takes seconds, and --help and a wrong option must answer at once. The
        # half million objects stay: looking for garbage in them took a fifth of those seconds, and
        # later half a second each time, in which nothing is spoken.
        gc.disable()
        from worker.app import serve

        gc.freeze()
        gc.enable()
        code = serve(settings)
    except QueueError as error:
        sys.exit(logs.fatal(error))
    # Everything is closed; a normal exit would spend two seconds on freeing the model.
    tracing.shutdown()
    logging.shutdown()
    os._exit(code)


def read_settings() -> Settings:
    """The environment's settings, changed by the command line."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument(
        "--model",
        action="append",
        help="hub id, short name (1.7B-Base, demo) or local folder; may be repeated",
    )
    parser.add_argument(
        "--model-memory",
        metavar="GIB",
        help="keep loaded what fits into it, and change models in turn (default: keep all)",
    )
    parser.add_argument("--device", help="cpu (default) or cuda")
    parser.add_argument("--precision", help="float32 (default on cpu), bfloat16 or int8")
    parser.add_argument(
        "--compile",
        nargs="?",
        const="auto",
        help="compile parts for this processor at the start: auto (default), where there is a C++"
        " compiler, or 0",
    )
    parser.add_argument("--threads", help="CPU threads; default: the physical cores")
    parser.add_argument("--slots", help="requests spoken at once at the most")
    options = vars(parser.parse_args())
    return Settings.load(**options | {"model": options["model"] and ",".join(options["model"])})


if __name__ == "__main__":
    main()
