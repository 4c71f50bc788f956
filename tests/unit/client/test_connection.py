"""The key that a client sends: it is in no message, whatever is wrong with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from client.cli import main
from client.errors import NarrateError
from client.http import Connection


class Echo(BaseHTTPRequestHandler):
    """Answers with the key that it got."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'"{self.headers["Authorization"]}"'.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("key", ["tts_a\nb", "tts_é", "tts a", "tts_\udc80", "\x1b[1m"])
def test_a_key_that_no_header_can_hold_is_not_repeated(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NarrateError, match="NARRATE_KEY") as refused:
        Connection("http://127.0.0.1:9", 1.0, key)
    assert key not in str(refused.value)
    monkeypatch.setenv("NARRATE_KEY", key)
    for command in (["admin", "jobs"], ["status", "job_x"]):
        assert main([*command, "--url", "http://127.0.0.1:9"]) == 1
        assert capsys.readouterr().err.startswith("narrate: the key is none of")


@pytest.mark.parametrize("key", ["tts_a", "tts_a\n", " tts_a\r\n"])
def test_a_line_break_after_the_key_is_not_sent(key: str, url: str) -> None:
    with Connection(url, 5.0, key) as connection:
        assert connection.json("GET", "/") == "Bearer tts_a"


@pytest.mark.parametrize("key", [None, "", "\n"])
def test_without_a_key_none_is_sent(key: str | None, url: str) -> None:
    with Connection(url, 5.0, key) as connection:
        assert connection.json("GET", "/") == "None"
