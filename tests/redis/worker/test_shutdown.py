from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue
from redis import Redis

from client.local.redis_server import RedisServer
from shared.store.redis_address import RedisAddress


def connected(url: str) -> Connection:
    return Connection(
        url,
        transport="worker.celery_transport:Transport",
        transport_options={"address": RedisAddress.parse(url)},
    )


def test_an_acknowledgement_that_fails_frees_the_slot(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", log=tmp_path / "redis.log")
    server.start()
    with connected(server.url) as connection:
        channel = connection.channel()
        queue = connection.SimpleQueue("q", channel=channel)
        for text in ("one", "two"):
            queue.put(text)
        taken = [queue.get(timeout=5) for _ in range(2)]
        server.stop()
        taken[0].ack()
        taken[1].reject(requeue=True)
        assert not channel.qos._delivered.keys() - channel.qos._dirty
        channel.connection.cycle.close()


@pytest.mark.parametrize("message", ["no JSON", "{}", "[]", "null", '{"properties": 1}'])
def test_what_is_no_message_is_passed_over(
    redis: Redis, redis_server: RedisServer, message: str
) -> None:
    taken: list[Any] = []
    with (
        connected(redis_server.url) as connection,
        connection.Consumer(
            [Queue("q", routing_key="q")], callbacks=[lambda body, _message: taken.append(body)]
        ),
    ):
        redis.lpush("q", message)
        connection.SimpleQueue("q").put("ours")
        while not taken:
            connection.drain_events(timeout=10)
        connection.transport.cycle.close()
    assert taken == ["ours"]
