"""One attempt to bring an event to its receiver."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from api.jobs.responses import JobObject
from api.outbound import Outbound
from api.services import Services
from api.webhooks import signature
from api.webhooks.retries import Answered
from shared.errors import JobNotFound
from shared.jobs import Status
from shared.store.webhooks import Event, EventType

# From the look-up of the name to the head of the answer; its body is not read.
WITHIN_S = 15.0


class ForgottenJob(BaseModel):
    """What is left of a job that was deleted before its event could be delivered."""

    id: str
    object: Literal["job"] = "job"
    status: Status


class Message(BaseModel):
    """What a receiver is sent: `timestamp` is when it happened, `data` the job as it stands now."""

    type: EventType
    timestamp: datetime
    data: JobObject | ForgottenJob


def deliver(event: Event, services: Services, outbound: Outbound) -> Answered:
    """Send an event; raises `FetchFailed`, `InvalidRequest` or `Unavailable`."""
    body = _message(event, services).model_dump_json().encode()
    secrets = services.webhook_secrets.of(event.signer)
    headers = {
        "Content-Type": "application/json",
        **signature.headers(event.id, int(time.time()), body, secrets),
    }
    with outbound.request(
        "POST", event.url, within_s=WITHIN_S, headers=headers, content=body
    ) as answer:
        return Answered(answer.status, answer.headers.get("retry-after", ""))


def _message(event: Event, services: Services) -> Message:
    data: JobObject | ForgottenJob
    try:
        data = JobObject.of(services.ledger.job(event.job), services.settings.result_ttl_s)
    except JobNotFound:
        data = ForgottenJob(id=event.public_id, status=event.status)
    return Message(type=event.type, timestamp=datetime.fromtimestamp(event.at, UTC), data=data)
