"""Requests to URLs that clients name reach public places only, and end in time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import repeat

import pytest
import trustme

from api.safe_http import client as safe_client
from api.safe_http.addresses import is_public, parse_url
from api.safe_http.client import SafeClient
from shared.errors import FetchFailed, InvalidRequest
from tests.support.receiver import Receiver, misbehaving, receiving

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n"


def naming(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda _host, _port: list(addresses)


async def head(url: str, within_s: float, content: bytes = b"") -> int:
    """The status of the answer to a POST; its body is left."""
    client = SafeClient(allow_private=True)
    async with client.request("POST", url, within_s=within_s, content=content) as response:
        return response.status


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0", "0.0.0.0"),
        *("192.0.0.192", "168.63.129.16", "192.88.99.1"),
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "2852039166"),
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
        *("[::1]", "[::]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fec0::1]", "[ff02::1]"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]"),
        *("[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::7f00:1]"),
        *("[2002:7f00:1::]", "[2002:808:808::]", "[2001:0:808:808::]", "[2001:db8::1]"),
        *("localhost", "LOCALHOST", "me.localhost", "localhost.", "127.0.0.1.", "2130706433."),
        *("%31%32%37.0.0.1", "127。0。0。1", "１２７.0.0.1", "①②⑦.0.0.1"),
        *("", "a..b", ".", "a b", "-a", "a" * 64, ".".join(["a" * 60] * 5)),
    ],
)
def test_a_place_that_is_not_public_is_refused_as_it_is_written(host: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(InvalidRequest, match="webhook") as caught:
            parse_url(f"{scheme}://{host}/hook", allow_private=False, param="webhook")
        assert caught.value.param == "webhook"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("//example.com/", "https://"),
        ("example.com", "https://"),
        ("https:example.com", "no host"),
        ("https://me@example.com/", "user"),
        ("https://me:pw@example.com/", "user"),
        ("https://example.com\\@10.0.0.1/", "user"),
        ("https://example.com:0/", "port"),
        ("https://example.com:65536/", "port"),
        ("https://example.com:http/", "no URL"),
        ("https://example.com/\r\nHost: evil", "no URL"),
        ("https://[::1/", "no URL"),
    ],
)
def test_what_is_no_plain_url_is_refused(url: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parse_url(url, allow_private=True, param="url")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com/hook?x=1#y", "example.com"),
        ("http://8.8.8.8:8080/", "8.8.8.8"),
        ("https://[2606:4700::1111]/", "2606:4700::1111"),
        ("https://[64:ff9b::808:808]/", "64:ff9b::808:808"),
        ("HTTPS://Bücher.Example:65535/", "xn--bcher-kva.example"),
        ("https://my_host.example/", "my_host.example"),
    ],
)
def test_a_public_place_may_be_named(url: str, host: str) -> None:
    assert parse_url(url, allow_private=False, param="url").raw_host.decode() == host


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("8.8.8.8", "127.0.0.1"),
        ("::1", "8.8.8.8"),
        ("::ffff:127.0.0.1",),
        ("fe80::1%eth0",),
        (),
    ],
)
def test_a_name_with_any_address_inside_is_not_connected_to(
    receiver: Receiver, addresses: tuple[str, ...]
) -> None:
    client = SafeClient(allow_private=False, resolve=naming(*addresses))
    with pytest.raises(FetchFailed, match="no host of this name has only public addresses"):
        asyncio.run(client.fetch(receiver.at("inside.example"), 100, 5))
    assert receiver.got == []


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means 127.0.0.2, public for once, and then 127.0.0.1."""
    monkeypatch.setattr(safe_client, "is_public", lambda a: a == "127.0.0.2" or is_public(a))
    answers = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]]
    client = SafeClient(allow_private=False, resolve=lambda *_: answers.pop(0))
    with receiving("127.0.0.2", receiver.port) as checked:
        assert asyncio.run(client.fetch(receiver.at("rebinds.example"), 100, 5)) == b"heard"
        assert [got.headers["host"] for got in checked.got] == [f"rebinds.example:{checked.port}"]
    assert receiver.got == []
    assert len(answers) == 2
    with pytest.raises(FetchFailed, match="public"):
        asyncio.run(client.fetch(receiver.at("rebinds.example"), 100, 5))
    assert receiver.got == []


def test_the_next_address_is_tried_if_one_does_not_answer(receiver: Receiver) -> None:
    client = SafeClient(allow_private=True, resolve=naming("127.0.0.3", "127.0.0.1"))
    assert asyncio.run(client.fetch(receiver.at("two.example"), 100, 5)) == b"heard"


def test_names_of_the_system_are_resolved(receiver: Receiver) -> None:
    assert (
        asyncio.run(SafeClient(allow_private=True).fetch(receiver.at("localhost"), 100, 5))
        == b"heard"
    )
    with pytest.raises(InvalidRequest):
        asyncio.run(SafeClient(allow_private=False).fetch(receiver.at("localhost"), 100, 5))


def test_redirects_are_not_followed_and_no_proxy_is_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url)
        receiver.answers = [(status, {"Location": other.url}) for status in (301, 302, 307, 308)]
        for status in (301, 302, 307, 308):
            with pytest.raises(FetchFailed, match=f"status {status}"):
                asyncio.run(SafeClient(allow_private=True).fetch(receiver.url, 100, 5))
        assert len(receiver.got) == 4
        assert other.got == []


def drip(connection: socket.socket, head: bytes) -> None:
    connection.sendall(head)
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def flood(connection: socket.socket) -> None:
    connection.sendall(HEAD)
    for part in repeat(bytes(1 << 16)):
        connection.sendall(part)


@pytest.mark.parametrize(
    "answer",
    [
        lambda connection: connection.recv(1 << 20) and connection.recv(1),
        lambda connection: drip(connection, b""),
        lambda connection: drip(connection, b"HTTP/1.1 200 OK\r\nX: "),
        lambda connection: drip(connection, HEAD),
        lambda connection: [
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n") for _ in repeat(0)
        ],
    ],
    ids=["says nothing", "drips", "drips a header", "drips a body", "never gets to the point"],
)
def test_a_slow_receiver_is_cut_off(answer: Callable[[socket.socket], object]) -> None:
    began = time.monotonic()
    with misbehaving(answer) as url, pytest.raises(FetchFailed, match=r"more than 0.3 s"):
        asyncio.run(SafeClient(allow_private=True).fetch(url, 1_000_000, 0.3))
    assert time.monotonic() - began < 4


def test_who_does_not_take_what_is_sent_is_cut_off() -> None:
    began = time.monotonic()
    gone = threading.Event()
    with misbehaving(lambda _: gone.wait(5)) as url:
        with pytest.raises(FetchFailed, match=r"more than 0.3 s"):
            asyncio.run(head(url, 0.3, bytes(50_000_000)))
        gone.set()
    assert time.monotonic() - began < 4


def test_a_slow_look_up_is_cut_off(receiver: Receiver) -> None:
    answered = threading.Event()

    def slowly(_host: str, _port: int) -> list[str]:
        answered.wait(5)
        return ["127.0.0.1"]

    began = time.monotonic()
    with pytest.raises(FetchFailed, match=r"more than 0.2 s"):
        asyncio.run(
            SafeClient(allow_private=True, resolve=slowly).fetch(
                receiver.at("slow.example"), 100, 0.2
            )
        )
    assert time.monotonic() - began < 4
    answered.set()
    assert receiver.got == []


HANGING_LOOK_UP = """
import asyncio, threading
from api.safe_http.client import SafeClient
from shared.errors import FetchFailed

client = SafeClient(allow_private=True, resolve=lambda *_: threading.Event().wait(120))
try:
    asyncio.run(client.fetch("http://slow.example/", 100, 0.2))
except FetchFailed as error:
    print(error.message)
"""


def test_a_look_up_that_hangs_does_not_delay_the_exit_of_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_LOOK_UP], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "slow.example gave no answer: took more than 0.2 s\n"


def test_an_unexpected_error_of_a_look_up_is_raised() -> None:
    def broken(_host: str, _port: int) -> list[str]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(
            SafeClient(allow_private=True, resolve=broken).fetch("http://a.example/", 100, 5)
        )


def test_who_answers_without_end_is_cut_off() -> None:
    client = SafeClient(allow_private=True)
    with misbehaving(flood) as url:
        with pytest.raises(FetchFailed, match="larger than 1,000,000 bytes"):
            asyncio.run(client.fetch(url, 1_000_000, 20))
        assert asyncio.run(head(url, 20)) == 200  # and the rest is left there
    endless = b"HTTP/1.1 200 OK\r\nX: "
    with (
        misbehaving(lambda c: [c.sendall(endless + b"x" * 9_999) for _ in repeat(0)]) as url,
        pytest.raises(FetchFailed, match="gave no answer"),
    ):
        asyncio.run(client.fetch(url, 100, 20))


def test_what_fits_exactly_is_fetched(receiver: Receiver) -> None:
    assert asyncio.run(SafeClient(allow_private=True).fetch(receiver.url, 5, 5)) == b"heard"
    with pytest.raises(FetchFailed, match="larger than 4 bytes"):
        asyncio.run(SafeClient(allow_private=True).fetch(receiver.url, 4, 5))
    (got, _) = receiver.got
    assert (got.method, got.path) == ("GET", "/hook?token=hidden")
    receiver.answers = [(404, {})]
    with pytest.raises(FetchFailed, match="status 404"):
        asyncio.run(SafeClient(allow_private=True).fetch(receiver.url, 5, 5))


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchFailed, match="gave no answer"):
        asyncio.run(SafeClient(allow_private=True).fetch(f"http://127.0.0.1:{port}/", 100, 5))


def test_the_certificate_is_that_of_the_name() -> None:
    authority, trusted = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusted)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("right.example").configure_cert(tls)
    asked: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    here = naming("127.0.0.1")
    with receiving(tls=tls) as receiver:
        right, wrong = receiver.at("right.example"), receiver.at("wrong.example")
        client = SafeClient(allow_private=True, resolve=here, tls=trusted)
        assert asyncio.run(client.fetch(right, 100, 5)) == b"heard"
        with pytest.raises(FetchFailed, match=r"(?i)certificate"):
            asyncio.run(client.fetch(wrong, 100, 5))
        with pytest.raises(FetchFailed, match=r"(?i)certificate"):
            asyncio.run(SafeClient(allow_private=True, resolve=here).fetch(right, 100, 5))
        assert asked == ["right.example", "wrong.example", "right.example"]
        assert [got.headers["host"] for got in receiver.got] == [f"right.example:{receiver.port}"]
