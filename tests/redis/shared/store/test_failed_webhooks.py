"""Webhooks that were given up, of several signers together."""

from __future__ import annotations

import pytest
from redis import Redis

from shared.jobs import SpeechSpec
from shared.store.failed_webhooks import FailedWebhooks
from shared.store.ledger import Ledger
from shared.store.webhooks import FAILED_EVENT_TTL_S, Events, Webhook
from tests.support.plain_segments import plain

SIGNERS = ("ann", "bob", "ann", "cyd", "bob")


@pytest.fixture
def failed(ledger: Ledger, spec: SpeechSpec, redis: Redis) -> FailedWebhooks:
    """One of each of `SIGNERS`, given up in this order."""
    events = Events(redis, lease_s=60)
    for number, signer in enumerate(SIGNERS):
        hook = Webhook(url="https://a.test/x", receiver="https://a.test", signer=signer)
        ledger.admit(f"j{number}", spec, plain(["one"]), owner=signer, webhook=hook)
        ledger.cancel(f"j{number}")
        event = events.take()
        assert event is not None
        events.give_up(event, "no answer")
    return FailedWebhooks(redis)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_the_newest_of_all_are_listed_first(failed: FailedWebhooks, limit: int) -> None:
    found = failed.of_all({"ann", "bob", "cyd", "nobody"}, limit=limit)
    assert [signer for signer, _ in found] == list(SIGNERS[::-1][:limit])
    assert [event.job for _, event in found] == [f"j{n}" for n in (4, 3, 2, 1, 0)][:limit]
    assert failed.of_all([], limit=limit) == []


def test_those_that_are_kept_are_counted(failed: FailedWebhooks, redis: Redis) -> None:
    assert failed.count(["ann", "bob", "cyd", "nobody"]) == 5
    assert failed.count([]) == 0
    oldest = failed.of("ann", limit=2)[1]
    redis.zadd("tts:webhooks_failed:ann", {oldest.id: oldest.failed_at - FAILED_EVENT_TTL_S - 1})
    assert failed.count(["ann", "bob"]) == 3
