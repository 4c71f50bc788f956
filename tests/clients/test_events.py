"""Packages that follow jobs by server-sent events and by webhooks."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from client.local.stack import Stack
from tests.clients.conftest import Programs
from tests.support.processes import wait_until
from tests.support.receiver import Receiver

JOB = {"task": "custom_voice", "voice": "vivian", "input": "The lamp was lit. It went out."}


def submit(service: httpx.Client, **more: Any) -> str:
    accepted = service.post("/v1/jobs", json=JOB | more)
    assert accepted.status_code == 202, accepted.text
    return str(accepted.json()["id"])


def test_an_event_source(programs: Programs, stack: Stack, service: httpx.Client) -> None:
    url = f"{stack.url}/v1/jobs/{submit(service)}/events"
    told = programs.node("eventsource_follow.mjs", url, f"{url}?events=message")
    # 204 to its second request is what ends it, without an error that a user would see.
    for name in ("followed", "told"):
        assert told[name]["code"] == 204
        assert told[name]["seen"][-1] == "completed"
    types, statuses = told["followed"]["seen"][::2], told["followed"]["seen"][1::2]
    assert types == statuses
    assert set(told["told"]["seen"][::2]) == {"message"}


@pytest.mark.parametrize("script", ["webhook_verify.py", "webhook_verify.mjs"])
def test_signatures_of_webhooks(
    script: str, programs: Programs, service: httpx.Client, receiver: Receiver
) -> None:
    secret = service.get("/v1/webhooks/default/secret").json()["key"]
    submit(service, webhook=f"http://127.0.0.1:{receiver.port}/told")
    wait_until(lambda: receiver.got, 60)
    got = receiver.got[0]
    sent = json.dumps({"secret": secret, "headers": got.headers, "body": got.body.decode()})
    if script.endswith(".py"):
        told = programs.python("standardwebhooks", script, stdin=sent)
    else:
        told = programs.node(script, stdin=sent)
    assert told["type"] == "job.completed"
    assert told["forged"]
