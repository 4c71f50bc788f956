"""`python -m api`: serve the HTTP front end with uvicorn."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from fastapi import FastAPI

from api.app import create_app
from api.http import server
from api.http.loopback import is_loopback
from api.operations.metrics import SHARED_FOLDER
from shared import logs, tracing
from shared.errors import InvalidSetting, QueueError
from shared.fitness import check_at_start
from shared.settings import Settings
from shared.start_line import start_line
from shared.storage import Storage, StorageLimits
from shared.store.api_keys import ApiKeys, KeyMark
from shared.store.connection import connect

# New objects between two collections: a request makes some hundreds, and nearly all go with it.
GC_THRESHOLD = 20_000
SERVICE = "qwen-tts-api"  # in traces
_log = logging.getLogger("api.main")  # not `__main__`, whose level is that of libraries


def main() -> None:
    """Parse the command line and serve until SIGTERM, SIGHUP or Ctrl-C, which is exit code 0."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))  # until uvicorn has its own
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port")
    options = parser.parse_args()
    try:
        settings = Settings.load()
        logs.configure(settings.log_level, settings.log_format)
        tracing.configure(SERVICE, settings.tracing)
        check_address(options.host, settings)
        # Checked here, so that one process reports a problem, not each.
        limits = StorageLimits.of_api(settings.storage_timeout_s)
        storage = Storage.open(settings.storage_url, limits)
        check_at_start(settings, storage)
        for ledger in settings.further_ledgers.values():
            own = settings.model_copy(update={"redis_url": ledger.redis_url})
            check_at_start(own, storage)
    except QueueError as error:
        sys.exit(logs.fatal(error))
    shown = f"[{options.host}]" if ":" in options.host else options.host
    many = f" in {options.workers} processes" if options.workers > 1 else ""
    _log.info(start_line(settings, f"API on http://{shown}:{options.port}{many}"))
    with count_together(options.workers):
        server.run(
            "api.__main__:serve",
            factory=True,
            host=options.host,
            port=options.port,
            workers=options.workers,
            drain_s=settings.api_drain_s,
            log_config=None,
        )


def serve() -> FastAPI:
    """The application of one process."""
    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)
    tracing.configure(SERVICE, settings.tracing)
    app = create_app(settings)
    # What is loaded by now stays. Searching it for garbage delayed every hundredth request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    return app


@contextmanager
def count_together(processes: int) -> Iterator[None]:
    """Have several processes count in files of one folder, since a scrape reaches one of them."""
    if processes == 1:
        yield
        return
    with TemporaryDirectory(prefix="metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        yield


def check_address(host: str, settings: Settings) -> None:
    """Without keys, only this machine is listened to; raises `InvalidSetting` or `Unavailable`."""
    if settings.auth != "auto" or host == "localhost" or is_loopback(host):
        return
    mark = KeyMark(Storage.open(settings.storage_url))
    if ApiKeys(connect(settings.redis_url), mark).exist():
        # If both are lost, every request needs a key; the processes that serve read this.
        os.environ["TTS_AUTH"] = "required"
    else:
        raise InvalidSetting(
            f"without keys, {host} is not listened on: start on 127.0.0.1 and make a key with "
            "`narrate keys create NAME`, or set TTS_AUTH=open if something else keeps others out"
        )


if __name__ == "__main__":
    main()
