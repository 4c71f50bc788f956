"""Redis answers with errors for a while: a consumer, a publisher and the ledger's connections."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError

from client.local.ports import free_port
from client.local.redis_server import RedisServer
from shared.broker import WakeUpPublisher, make_celery_app
from shared.errors import Unavailable
from shared.store.connection import connect, connect_listeners, redis_errors
from tests.support.forwarder import Forwarder
from tests.support.paths import ROOT
from tests.support.processes import wait_until

CONSUMER = ROOT / "tests" / "support" / "consumer.py"
SPIN = """
local began = redis.call('TIME')[1]
while redis.call('TIME')[1] - began < 3 do end
"""
# Long enough for the consumer's BRPOP of one second to end, and for several new connections.
FOR_S = 2.0


class Consumer:
    """The process, and what it has printed and logged."""

    def __init__(self, url: str, folder: Path) -> None:
        self.out, self.log = folder / "out", folder / "log"
        with self.out.open("w") as out, self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(CONSUMER)],
                env=os.environ | {"TTS_REDIS_URL": url},
                stdout=out,
                stderr=log,
            )

    @property
    def messages(self) -> int:
        return self.out.read_text().count("message")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("erring")
    with RedisServer(folder, log=folder / "redis.log") as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: RedisServer) -> Iterator[Redis]:
    """A connection that was authenticated before any fault."""
    with Redis.from_url(server.url, decode_responses=True) as admin:
        admin.config_set("lua-time-limit", "100")
        yield admin


@pytest.fixture(scope="module")
def consumer(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    """One for all faults: it has to live through each."""
    consumer = Consumer(server.url, tmp_path_factory.mktemp("consumer"))
    try:
        wake_ups = WakeUpPublisher(make_celery_app(server.url))
        wake_ups.publish("m")
        wait_until(lambda: consumer.messages, 60)
        wake_ups.close()
        yield consumer
    finally:
        consumer.process.kill()
        consumer.process.wait()


@contextmanager
def replica(admin: Redis) -> Iterator[None]:
    admin.replicaof("127.0.0.1", free_port())
    yield
    admin.replicaof("NO", "ONE")


@contextmanager
def stale_replica(admin: Redis) -> Iterator[None]:
    with configured(admin, "replica-serve-stale-data", "no"), replica(admin):
        yield


@contextmanager
def busy(admin: Redis) -> Iterator[None]:
    spinner = threading.Thread(target=admin.eval, args=(SPIN, 0))
    spinner.start()
    yield
    spinner.join()


@contextmanager
def configured(admin: Redis, name: str, value: str) -> Iterator[None]:
    before = admin.config_get(name)[name]
    admin.config_set(name, value)
    yield
    admin.config_set(name, before)


@contextmanager
def forbidden(admin: Redis) -> Iterator[None]:
    admin.execute_command("ACL", "SETUSER", "default", "-brpop", "-lpush", "-del", "-hset")
    yield
    admin.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def locked(admin: Redis) -> Iterator[None]:
    """A password is asked of every connection from now on, and those that are open are cut."""
    admin.config_set("requirepass", "one")
    admin.execute_command("AUTH", "one")
    admin.client_kill_filter(_type="normal", skipme=True)
    yield
    admin.config_set("requirepass", "")


Fault = Callable[[Redis], AbstractContextManager[None]]
FAULTS: dict[str, Fault] = {
    "READONLY": replica,
    "MASTERDOWN": stale_replica,
    "BUSY": busy,
    "NOREPLICAS": lambda admin: configured(admin, "min-replicas-to-write", "1"),
    "OOM": lambda admin: configured(admin, "maxmemory", "1"),
    "NOPERM": forbidden,
    "NOAUTH": locked,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_consumer_goes_on_once_redis_does(
    fault: str, consumer: Consumer, admin: Redis, server: RedisServer
) -> None:
    before = consumer.messages
    wake_ups = WakeUpPublisher(make_celery_app(server.url))
    with FAULTS[fault](admin):
        wake_ups.publish("m")  # forgotten, with a warning
        consumer_lives_for(consumer, FOR_S)
    wake_ups.publish("m", 3)
    wait_until(lambda: consumer.messages >= before + 3, 20)
    assert wake_ups.thread.problem is None
    wake_ups.close()
    assert consumer.log.read_text().count("CRITICAL") == 0


def consumer_lives_for(consumer: Consumer, seconds: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        consumer.process.wait(seconds)


def test_an_error_is_logged_about_once_a_second(consumer: Consumer, admin: Redis) -> None:
    lines = consumer.log.read_text().count("\n")
    with replica(admin):
        consumer_lives_for(consumer, 4)
    assert consumer.log.read_text().count("\n") - lines < 30


def test_a_consumer_stops_while_redis_answers_with_errors(consumer: Consumer, admin: Redis) -> None:
    with replica(admin):
        consumer_lives_for(consumer, 1.5)
        assert consumer.stop() == 0, consumer.log.read_text()


def test_everything_follows_the_primary_that_a_name_leads_to(tmp_path: Path) -> None:
    """The old primary stays up as a replica, and so do the connections to it."""
    servers = [RedisServer(tmp_path / n, log=tmp_path / f"{n}.log") for n in ("old", "new")]
    with servers[0] as old, servers[1] as new, Forwarder(old.port) as name:
        url = f"redis://127.0.0.1:{name.port}/0"
        consumer = Consumer(url, tmp_path)
        wake_ups, ledgers = WakeUpPublisher(make_celery_app(url)), connect(url)
        try:
            wake_ups.publish("m")
            wait_until(lambda: consumer.messages, 60)
            ledgers.set("tts:x", 1)
            with Redis.from_url(new.url) as admin:
                admin.replicaof("127.0.0.1", old.port)
                wait_until(lambda: admin.info("replication")["master_link_status"] == "up")
                admin.replicaof("NO", "ONE")
            name.to = new.port
            with Redis.from_url(old.url) as admin:
                admin.replicaof("127.0.0.1", new.port)
            with pytest.raises(Unavailable, match="read only"), redis_errors():
                ledgers.set("tts:x", 2)
            ledgers.set("tts:x", 3)
            wake_ups.publish("m", 3)
            wait_until(lambda: consumer.messages == 4, 20)
            assert consumer.stop() == 0
        finally:
            wake_ups.close()
            ledgers.close()
            consumer.process.kill()
            consumer.process.wait()


def test_listeners_follow_the_primary_that_a_name_leads_to(tmp_path: Path) -> None:
    """The old one stays up, and answers reads with MASTERDOWN, writes with READONLY."""
    servers = [RedisServer(tmp_path / n, log=tmp_path / f"{n}.log") for n in ("old", "new")]
    with servers[0] as old, servers[1] as new, Forwarder(old.port) as name:

        async def listen() -> None:
            async with connect_listeners(f"redis://127.0.0.1:{name.port}/0") as redis:
                assert await redis.set("tts:x", "old")
                with Redis.from_url(old.url) as admin:
                    admin.replicaof("127.0.0.1", free_port())
                    name.to = new.port
                    with pytest.raises(ReadOnlyError):
                        await redis.set("tts:x", "refused")
                    assert await redis.set("tts:x", "new")
                    assert await redis.get("tts:x") == b"new"

                    name.to = old.port
                    await redis.connection_pool.disconnect()
                    assert await redis.get("tts:x") == b"old"
                    admin.config_set("replica-serve-stale-data", "no")
                    name.to = new.port
                    with pytest.raises(MasterDownError):
                        await redis.xread({"tts:pcm": "0"})
                    assert await redis.xread({"tts:pcm": "0"}) in ([], {})
                    assert await redis.get("tts:x") == b"new"

        asyncio.run(listen())


def test_every_error_of_redis_is_a_lost_connection() -> None:
    """Those that no server here can be brought to answer with, such as CLUSTERDOWN and TRYAGAIN."""
    app = make_celery_app("redis://127.0.0.1:1/0")
    for transport in (None, "worker.celery_transport:Transport"):
        with app.connection_for_read(transport=transport) as connection:
            assert issubclass(RedisError, connection.connection_errors)
