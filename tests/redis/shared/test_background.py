"""Threads that die: they are started again, and say so meanwhile."""

import threading
from itertools import islice

import pytest
from kombu.connection import Connection
from redis import Redis

from client.local.redis_server import RedisServer
from shared import background
from shared.background import BackgroundThread
from shared.backoff import backoff
from shared.broker import WakeUpPublisher, make_celery_app
from tests.support.processes import wait_until


class Boom(Exception):
    pass


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_BACKOFF_S", 0.01)


def test_pauses_double_up_to_the_longest() -> None:
    assert list(islice(backoff(1, 5), 5)) == [1, 2, 4, 5, 5]
    assert list(islice(backoff(9, 5), 2)) == [5, 5]


@pytest.mark.parametrize("error", [Boom, SystemExit, MemoryError])
def test_a_body_that_fails_is_run_again(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[None] = []

    def body(stopping: threading.Event) -> None:
        runs.append(None)
        if len(runs) < 5:
            raise error("a secret")
        stopping.wait()

    thread = BackgroundThread("tester", body, settled_s=0.2)
    assert thread.problem is None
    thread.start()
    wait_until(lambda: len(runs) == 5)
    assert thread.problem == (
        f"the thread `tester` failed with {error.__name__} and is started again"
    )
    wait_until(lambda: thread.problem is None)
    assert caplog.text.count("Traceback") == 4
    thread.stop(5)
    assert thread.problem is None


def test_pauses_are_bounded_and_start_anew_once_it_has_settled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: list[None] = []

    def body(_stopping: threading.Event) -> None:
        runs.append(None)
        if len(runs) == 5:
            wait_until(lambda: thread.problem is None)  # it has settled
        raise Boom

    thread = BackgroundThread("tester", body, longest_pause_s=0.05, settled_s=0.5)
    thread.start()
    wait_until(lambda: len(runs) == 7)
    thread.stop(5)
    # A thread that an earlier test left behind may log, too.
    said = [
        record.args[1]
        for record in caplog.records
        if record.name == background.__name__ and isinstance(record.args, tuple)
    ]
    assert said[:6] == [0.01, 0.02, 0.04, 0.05, 0.01, 0.02]


def test_a_body_that_ends_by_itself_is_a_problem() -> None:
    thread = BackgroundThread("tester", lambda _stopping: None)
    thread.start()
    wait_until(lambda: thread.problem)
    assert thread.problem == "the thread `tester` has ended"


def test_stopping_waits_neither_for_a_pause_nor_for_a_body_that_never_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "FIRST_BACKOFF_S", 60)

    def body(_stopping: threading.Event) -> None:
        raise Boom

    never = BackgroundThread("never", body)
    never.stop()
    thread = BackgroundThread("tester", body, longest_pause_s=60)
    thread.start()
    wait_until(lambda: thread.problem)
    thread.stop(5)
    assert not [alive for alive in threading.enumerate() if alive.name == "tester"]


def test_the_publisher_sends_what_it_died_of_once_it_can(
    redis: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was with a package missing, which is imported at the first message."""
    broken = True
    transport_class = Connection.get_transport_cls

    def import_or_fail(connection: Connection) -> object:
        if broken:
            raise ModuleNotFoundError("No module named 'packaging'")
        return transport_class(connection)

    monkeypatch.setattr(Connection, "get_transport_cls", import_or_fail)
    wake_ups = WakeUpPublisher(make_celery_app(redis_server.url))
    wake_ups.publish("m", 3)
    wait_until(lambda: wake_ups.thread.problem)
    assert "ModuleNotFoundError" in str(wake_ups.thread.problem)
    assert redis.llen("tts.m") == 0
    broken = False
    wait_until(lambda: redis.llen("tts.m") == 3)
    wake_ups.close()
