"""rediss:// and unix://: the publisher, the consumer and redis-py connect alike."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from client.local.process import Child, stop
from client.local.redis_server import RedisServer, find_program
from shared.broker import WakeUpPublisher, make_celery_app
from shared.store.connection import connect, connect_listeners
from tests.support.forwarder import Forwarder
from tests.support.processes import wait_until

PASSWORD = "hunter2"


def by_redis_py(url: str) -> None:
    with connect(url) as redis:
        redis.ping()


def by_listeners(url: str) -> None:
    async def ping() -> None:
        try:
            async with connect_listeners(url) as redis:
                await redis.ping()
        finally:
            await asyncio.sleep(0.05)  # TLS says goodbye, before the loop is closed

    asyncio.run(ping())


def by_publisher(url: str) -> None:
    with make_celery_app(url).connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        connection.SimpleQueue("tts.m").put("x")


def by_consumer(url: str) -> None:
    app = make_celery_app(url)
    with app.connection_for_read(transport="worker.celery_transport:Transport") as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        queue = connection.SimpleQueue("tts.n")
        queue.put("x")
        queue.get(timeout=5).ack()
        connection.transport.cycle.close()


Party = Callable[[str], None]
PARTIES = [by_redis_py, by_listeners, by_publisher, by_consumer]
REFUSALS = (RedisError, KombuError, OSError)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("tls")
    with RedisServer(folder, log=folder / "redis.log") as server:
        with connect(server.url) as redis:
            redis.config_set("requirepass", PASSWORD)
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return quote(str(path))


def tls_of(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def port(server: RedisServer, authority: trustme.CA) -> Iterator[int]:
    """A Redis behind TLS, as `localhost`."""
    with Forwarder(server.port, tls_of(authority, "localhost")) as forwarder:
        yield forwarder.port


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize(
    "url",
    [
        "rediss://:hunter2@localhost:{port}/0?ssl_ca_certs={ca}",
        "rediss://:hunter2@127.0.0.1:{port}/0?ssl_ca_certs={ca}&ssl_check_hostname=false",
        "rediss://:hunter2@localhost:{port}/0?ssl_cert_reqs=CERT_NONE",
        "rediss://default:hunter2@127.0.0.1:{port}/1?ssl_cert_reqs=none",
    ],
)
def test_a_server_is_spoken_to_through_tls(party: Party, url: str, port: int, ca: str) -> None:
    party(url.format(port=port, ca=ca))


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("rediss://:hunter2@localhost:{port}/0", "certificate verify failed"),
        ("rediss://:hunter2@localhost:{port}/0?ssl_ca_certs={other}", "certificate verify failed"),
        (
            "rediss://:hunter2@127.0.0.1:{port}/0?ssl_ca_certs={ca}",
            "IP address mismatch|not valid for '127.0.0.1'",
        ),
        ("redis://:hunter2@localhost:{port}/0", "."),
        ("rediss://:hunter3@localhost:{port}/0?ssl_ca_certs={ca}", "invalid username-password"),
    ],
)
def test_another_server_is_refused(
    party: Party, url: str, says: str, port: int, ca: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(REFUSALS, match=says) as refused:
        party(url.format(port=port, ca=ca, other=quote(str(other))))
    assert "hunter" not in f"{refused.value!r} {refused.value.__cause__!r}"


def test_a_plain_server_is_not_spoken_to_through_tls(server: RedisServer, ca: str) -> None:
    with pytest.raises(REFUSALS):
        by_redis_py(f"rediss://:hunter2@localhost:{server.port}/0?ssl_ca_certs={ca}")


def test_a_client_that_has_a_certificate_shows_it(
    server: RedisServer, authority: trustme.CA, ca: str, tmp_path: Path
) -> None:
    context = tls_of(authority, "localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    both = tmp_path / "client.pem"
    authority.issue_cert("client@localhost").private_key_and_cert_chain_pem.write_to_path(str(both))
    with Forwarder(server.port, context) as forwarder:
        url = f"rediss://:hunter2@localhost:{forwarder.port}/0?ssl_ca_certs={ca}"
        for party in PARTIES:
            party(f"{url}&ssl_certfile={both}&ssl_keyfile={both}")
            with pytest.raises(REFUSALS):
                party(url)


@pytest.mark.parametrize("party", PARTIES)
def test_a_socket_is_spoken_to(party: Party, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    command = [find_program(), "--port", "0", "--unixsocket", str(path), "--dir", str(tmp_path)]
    child = Child("Redis", [*command, "--requirepass", PASSWORD], log=tmp_path / "log")
    try:
        wait_until(path.exists)
        party(f"unix://:hunter2@{path}?db=1")
        with pytest.raises(REFUSALS):
            party(f"unix://{path}")
    finally:
        stop([child], 5)


def test_no_log_holds_the_password(
    port: int, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level(logging.DEBUG)
    for url in (f"rediss://:hunter2@localhost:{port}/0", "redis://u:hunter2@localhost:1/0"):
        app = make_celery_app(url)
        wake_ups = WakeUpPublisher(app)
        wake_ups.publish("m")
        wait_until(lambda: "Could not announce" in caplog.text)
        wake_ups.close()
        with suppress(*REFUSALS), app.connection_for_read() as connection:
            assert PASSWORD not in connection.as_uri() + repr(connection) + str(connection.info())
            connection.ensure_connection(max_retries=1, interval_start=0)
        assert PASSWORD not in str(app.conf.table(with_defaults=False)) + caplog.text
        caplog.clear()
    assert not [one for one in recwarn if PASSWORD in str(one.message)]
