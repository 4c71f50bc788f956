"""redis+sentinel://: every party finds the primary, also the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from shared.document import Segment
from shared.errors import Unconfirmed
from shared.jobs import Job, SpeechSpec
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.limits import Idempotency
from shared.store.primary import PrimaryFinder, PrimaryNotFound
from shared.store.redis_address import RedisAddress
from tests.redis.shared.store.test_redis_tls import PARTIES, by_redis_py
from tests.support.processes import frozen, wait_until
from tests.support.sentinel import SentinelCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelCluster]:
    folder = tmp_path_factory.mktemp("sentinel")
    with SentinelCluster(folder, replicas=2, min_replicas=1) as cluster:
        yield cluster


def test_every_party_follows_the_primary(cluster: SentinelCluster) -> None:
    for party in PARTIES:
        party(cluster.url)
    before = cluster.primary
    with connect(cluster.url) as kept, connect(before.url) as straight:
        assert kept.set("a", "1")
        assert kept.info("server")["tcp_port"] == before.port
        cluster.fail_over()
        # The old primary would take writes, and lose them, for 8 s more, if it needed no replica.
        wait_until(lambda: not is_writable(straight), 30)
        wait_until(lambda: is_writable(kept), 30)
        assert kept.info("server")["tcp_port"] == cluster.primary.port != before.port
    for party in PARTIES:
        party(cluster.url)


def is_writable(redis: Redis) -> bool:
    with suppress(ResponseError):
        return bool(redis.set("a", "2"))
    return False


def test_an_accepted_job_waits_for_replicas(cluster: SentinelCluster, spec: SpeechSpec) -> None:
    once, segments = Idempotency("once", "body"), [Segment("Hello.", 0, 6)]
    wait_until(lambda: len(cluster.synchronised()) == 2, 30)
    with connect(cluster.url) as redis:
        ledger = Ledger(redis, lease_s=10, max_attempts=3, replicas=2)
        assert isinstance(ledger.admit("j1", spec, segments), Job)
        replica = cluster.synchronised()[0].child
        assert replica is not None
        with frozen(replica), pytest.raises(Unconfirmed, match=r"1 of 2 replicas.*its id is j2"):
            ledger.admit("j2", spec, segments, idempotency=once)
        # The same request again finds the job, and waits for the replicas, too.
        assert ledger.admit("j3", spec, segments, idempotency=once) == "j2"
        ledger.close()


def test_a_sentinel_that_is_away_is_passed_over(cluster: SentinelCluster) -> None:
    port = cluster.url.rpartition(":")[2]
    by_redis_py(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}")


def test_without_an_answer_it_says_which_sentinels_were_asked() -> None:
    address = RedisAddress.parse("redis+sentinel://:hunter2@127.0.0.1:1,[::1]:2/speech")
    began_s = time.monotonic()
    with pytest.raises(PrimaryNotFound, match=r"'speech' \(127.0.0.1:1: .*; \[::1\]:2: ") as found:
        PrimaryFinder(address).find()
    assert time.monotonic() - began_s < 2.5
    assert "hunter2" not in str(found.value)


def test_another_service_is_not_known(cluster: SentinelCluster) -> None:
    address = RedisAddress.parse(cluster.url.replace("/speech/", "/music/"))
    with pytest.raises(PrimaryNotFound, match="No such master"):
        PrimaryFinder(address).find()
