"""A job that is spoken for real tells its receiver so."""

from __future__ import annotations

import httpx
import pytest
from standardwebhooks import Webhook as Verifier

from client.local.stack import Stack
from tests.support.processes import wait_until
from tests.support.receiver import receiving

pytestmark = pytest.mark.integration


def test_a_spoken_job_tells_its_receiver(stack: Stack) -> None:
    with receiving() as receiver, httpx.Client(base_url=stack.url) as api:
        secret = api.get("/v1/webhooks/default/secret").raise_for_status().json()["key"]
        asked = {
            "task": "custom_voice",
            "voice": "vivian",
            "input": "The lamp was lit.",
            "webhook": receiver.url,
            "webhook_events_filter": ["job.in_progress", "job.completed"],
        }
        receiver.answers = [(503, {})]  # to the first, which is tried again 5 s later
        job = api.post("/v1/jobs", json=asked).raise_for_status().json()
        wait_until(lambda: len(receiver.got) == 3, 60)
        told = [Verifier(secret).verify(got.body, got.headers) for got in receiver.got]
        (completed,) = [each for each in told if each["type"] == "job.completed"]
        assert told[0]["type"] == "job.in_progress"
        ids = [got.headers["webhook-id"] for got in receiver.got]
        assert ids.count(ids[0]) == 2
        assert completed["data"] == api.get(job["links"]["self"]).json()
        assert completed["data"]["audio"]["seconds"] > 0
        assert api.get(completed["data"]["links"]["content"]).content[:4] == b"RIFF"
