"""How a worker's process watches itself, stops, and tidies up."""

import subprocess
import sys
import time

import pytest

from client.local.ports import free_port
from worker import celery_transport
from worker.heartbeat import STALLED_EXIT_CODE

BARK = """
import time
from worker import heartbeat
heartbeat.STALL_LIMIT_S = 0.2
dog = heartbeat.Watchdog(stalled_s=lambda: {stalled}, messages=lambda: {messages})
for hundredths in range(100):
    time.monotonic = lambda: hundredths / 100
    dog.check(is_idle={idle})
"""


@pytest.mark.parametrize(
    ("stalled", "messages", "idle", "barks"),
    [
        (0.1, 0, True, False),
        (0.3, 0, False, True),
        (0.0, 3, True, True),
        (0.0, 3, False, False),
        (0.0, "int(time.monotonic() * 10) % 2", True, False),
    ],
)
def test_a_worker_that_has_stalled_exits(
    stalled: float, messages: object, idle: bool, barks: bool
) -> None:
    script = BARK.format(stalled=stalled, messages=messages, idle=idle)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == (STALLED_EXIT_CODE if barks else 0), ran.stderr


BEATS = """
import time
from worker import heartbeat
heartbeat.STALL_LIMIT_S = 0.2
dog = heartbeat.Watchdog(stalled_s=lambda: 0, messages=lambda: 0)
for hundredths in range(100):
    time.monotonic = lambda: hundredths / 100
    if {beats}:
        dog.note_beat()
    dog.note_failure()
"""


@pytest.mark.parametrize("beats", [True, False])
def test_a_worker_that_keeps_none_of_its_leases_exits(beats: bool) -> None:
    ran = subprocess.run([sys.executable, "-c", BEATS.format(beats=beats)], capture_output=True)
    assert ran.returncode == (0 if beats else STALLED_EXIT_CODE), ran.stderr


DRAIN = """
import time
from worker import shutdown
shutdown.EXIT_GRACE_S = 1.5
told = shutdown.GracefulShutdown(0.3, lambda: print("handed back", flush=True))
told.begin()
told.begin()
time.sleep({busy_s})
told.end()
time.sleep(2)
print("ended by itself", flush=True)
"""


@pytest.mark.parametrize(
    ("busy_s", "says"),
    [
        (0.0, "ended by itself\n"),
        (0.9, "handed back\nended by itself\n"),
        (9.0, "handed back\n"),
    ],
)
def test_a_worker_that_stops_waits_no_longer_than_it_may(busy_s: float, says: str) -> None:
    began_s = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", DRAIN.format(busy_s=busy_s)], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, says)
    assert time.monotonic() - began_s < 8.5


class Enough(Exception):
    pass


def test_the_broker_is_tried_once_a_second() -> None:
    pauses: list[float] = []

    def note(_error: Exception, pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            raise Enough

    away = f"redis://127.0.0.1:{free_port()}/0"
    with celery_transport.Connection(away) as connection, pytest.raises(Enough):
        connection.ensure_connection(note, 100)
    assert pauses == [1, 1, 1]
