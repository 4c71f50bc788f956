"""A Redis Cluster is refused at the start, whatever its node would answer to a write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ClusterDownError, MovedError

from client.local.redis_server import RedisServer
from shared.store import keys
from shared.store.connection import connect
from shared.store.redis_state import CLUSTER_MESSAGE, look_at_redis
from tests.support.processes import wait_until

LAST_SLOT = 16_383


class ClusterNode(RedisServer):
    """A node that has no slots yet, and knows no other node."""

    def _config(self) -> str:
        return super()._config() + "cluster-enabled yes\n"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ClusterNode]:
    with ClusterNode(tmp_path / "node", log=tmp_path / "node.log") as node:
        yield node


@pytest.fixture
def redis(node: ClusterNode) -> Iterator[Redis]:
    with connect(node.url) as redis:
        yield redis


@pytest.fixture
def moved(redis: Redis, tmp_path: Path) -> Iterator[None]:
    """The slot of the first write is another node's."""
    slot = int(redis.execute_command("CLUSTER", "KEYSLOT", keys.PROBE))
    with ClusterNode(tmp_path / "other", log=tmp_path / "other.log") as other:
        with connect(other.url) as others:
            add_slots(others, slot, LAST_SLOT)
        add_slots(redis, 0, slot - 1)
        redis.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        wait_until(lambda: is_whole(redis), 30)
        with pytest.raises(MovedError):
            redis.set(keys.PROBE, "written")
        yield


def add_slots(redis: Redis, first: int, last: int) -> None:
    redis.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)


def is_whole(redis: Redis) -> bool:
    return "cluster_state:ok" in str(redis.execute_command("CLUSTER", "INFO"))


def expect_refusal(redis: Redis) -> None:
    finding = look_at_redis(redis, allow_eviction=False)
    assert (finding.problem, finding.is_lasting) == (CLUSTER_MESSAGE, True)


def test_one_shard_is_refused(redis: Redis) -> None:
    add_slots(redis, 0, LAST_SLOT)
    wait_until(lambda: is_whole(redis), 30)
    assert redis.set(keys.PROBE, "written")
    expect_refusal(redis)


def test_a_cluster_that_is_down_is_refused(redis: Redis) -> None:
    with pytest.raises(ClusterDownError):
        redis.set(keys.PROBE, "written")
    expect_refusal(redis)


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("program", ["api", "worker"])
def test_no_process_starts_on_a_shard_of_several(
    program: str, node: ClusterNode, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", program, *(["--model", "tiny"] if program == "worker" else [])]
    storage = (tmp_path / "results").as_uri()
    env = os.environ | {"TTS_REDIS_URL": node.url, "TTS_STORAGE_URL": storage}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith(CLUSTER_MESSAGE)
