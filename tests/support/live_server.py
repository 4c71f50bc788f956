"""The API in this process, on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from api.app import create_app
from api.http.header_timeout import HeaderTimeoutProtocol
from client.local.ports import free_port
from shared.settings import Settings
from tests.support.processes import wait_until


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Yields its URL."""
    port = free_port("127.0.0.1")
    app = create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=port, log_config=None, http=HeaderTimeoutProtocol, proxy_headers=False
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
