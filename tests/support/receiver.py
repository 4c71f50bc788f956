"""Servers on loopback: one that answers as it is told, and one that misbehaves."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Got(NamedTuple):
    """A request as it arrived; header names in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Answers with what is next in `answers`, status and headers, and with 200 after the last.

    While `open` is not set it holds its answers back.
    """

    def __init__(self, address: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.got: list[Got] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.content = b"heard"
        self.open = threading.Event()
        self.open.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.got.append(Got(self.command, self.path, headers, body))
                outer.open.wait(20)
                status, more = outer.answers.pop(0) if outer.answers else (200, {})
                with suppress(OSError):
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(outer.content)), **more}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(outer.content)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((address, port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.scheme, self.address = "https" if tls else "http", address
        if tls:
            self.server.handle_error = lambda *_: None  # a client that does not trust us
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )

    @property
    def url(self) -> str:
        return self.at(self.address)

    def at(self, host: str) -> str:
        return f"{self.scheme}://{host}:{self.port}/hook?token=hidden"


@contextmanager
def receiving(
    address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver(address, port, tls)
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.open.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()


@contextmanager
def misbehaving(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """The URL of a server that does as `answer` does with each connection, until it is closed."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
