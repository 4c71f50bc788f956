"""One attempt to deliver an event, and its signature by the Standard Webhooks specification."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from anyio.to_thread import run_sync
from pydantic import BaseModel

from api.jobs.responses import JobObject
from api.safe_http.client import SafeClient
from api.webhooks.retries import Reply
from shared.errors import JobNotFound
from shared.jobs import Status
from shared.store.ledger import Ledger
from shared.store.webhook_secrets import SECRET_PREFIX, WebhookSecrets
from shared.store.webhooks import Event, EventType

# Seconds from the look-up of the name to the head of the response, whose body is not read.
ATTEMPT_TIMEOUT_S = 15.0


class ForgottenJob(BaseModel):
    """The remains of a job that was deleted before its event could be delivered."""

    id: str
    object: Literal["job"] = "job"
    status: Status


class Message(BaseModel):
    """The body of a request: `timestamp` is the time of the event, `data` the job as of now."""

    type: EventType
    timestamp: datetime
    data: JobObject | ForgottenJob


@dataclass(frozen=True)
class WebhookSender:
    """Sends events, each signed with the secrets of its owner, with the job as of now."""

    client: SafeClient
    ledger: Ledger
    secrets: WebhookSecrets
    result_ttl_s: float
    root_path: str = ""

    async def deliver(self, event: Event) -> Reply:
        """Send an event; raises `FetchFailed`, `InvalidRequest` or `Unavailable`."""
        headers, body = await run_sync(self._signed_message, event)
        async with self.client.request(
            "POST", event.url, within_s=ATTEMPT_TIMEOUT_S, headers=headers, content=body
        ) as response:
            return Reply(response.status, response.headers.get("retry-after", ""))

    def _signed_message(self, event: Event) -> tuple[dict[str, str], bytes]:
        """The headers and the body of the request."""
        data: JobObject | ForgottenJob
        try:
            data = JobObject.of(self.ledger.job(event.job), self.result_ttl_s, self.root_path)
        except JobNotFound:
            data = ForgottenJob(id=event.public_id, status=event.status)
        at = datetime.fromtimestamp(event.at, UTC)
        body = Message(type=event.type, timestamp=at, data=data).model_dump_json().encode()
        secrets = self.secrets.of(event.signer)
        signature = signature_headers(event.id, int(time.time()), body, secrets)
        return {"Content-Type": "application/json", **signature}, body


def signature_headers(
    message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]
) -> dict[str, str]:
    """The three headers of a message, with one signature for each secret.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix(SECRET_PREFIX)) for secret in secrets]
    digests = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }
