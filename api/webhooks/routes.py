"""Webhooks: the secret that signs them, and those that were given up."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from api.auth.scopes import CanRead, CanSubmit
from api.http.access_log import log_action
from api.http.openapi import COMMON, error
from api.services import ServicesDep
from shared.errors import InvalidRequest
from shared.store.failed_webhooks import FailedEvent
from shared.store.webhooks import MAX_FAILED_EVENTS, EventType

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
UNSTORED = {"Cache-Control": "no-store"}
EventId = Annotated[str, Path(max_length=128, description="The `id` in the list.")]


class WebhookSecret(BaseModel):
    """The secret that signs your webhooks: `whsec_` and the key in base64."""

    key: str


class FailedWebhook(BaseModel):
    """A webhook that was given up; `id` is its `webhook-id`, times in Unix seconds."""

    id: str
    object: Literal["webhook.failed"] = "webhook.failed"
    type: EventType
    job: str
    url: str
    created_at: int
    failed_at: int
    attempts: int
    reason: str

    @classmethod
    def of(cls, event: FailedEvent) -> FailedWebhook:
        """The public view of an event."""
        return cls(
            id=event.id,
            type=event.type,
            job=event.public_id,
            url=event.url,
            created_at=int(event.at),
            failed_at=int(event.failed_at),
            attempts=event.attempt,
            reason=event.reason,
        )


class FailedWebhookList(BaseModel):
    """The newest of them, the newest first."""

    object: Literal["list"] = "list"
    data: list[FailedWebhook]


class WebhookResent(BaseModel):
    """The webhook that is on its way again."""

    id: str
    object: Literal["webhook.resent"] = "webhook.resent"


@router.get("/default/secret", operation_id="get_webhook_secret", responses=COMMON)
def secret(caller: CanSubmit, response: Response, services: ServicesDep) -> WebhookSecret:
    """Return the secret that signs your webhooks."""
    response.headers.update(UNSTORED)
    return WebhookSecret(key=services.webhook_secrets.of(caller.space)[0])


@router.post("/default/secret/rotate", operation_id="rotate_webhook_secret", responses=COMMON)
def rotate(caller: CanSubmit, response: Response, services: ServicesDep) -> WebhookSecret:
    """Make a new secret; for 24 hours webhooks are signed with the one of before, too."""
    response.headers.update(UNSTORED)
    log_action("rotate", webhook_secret="default")
    return WebhookSecret(key=services.webhook_secrets.rotate(caller.space)[0])


@router.get("/failed", operation_id="list_failed_webhooks", responses=COMMON)
def list_failed(
    caller: CanRead,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=MAX_FAILED_EVENTS, description="Of the newest.")] = 100,
) -> FailedWebhookList:
    """List your webhooks that were given up after their last attempt; they are kept for a week."""
    found = services.failed_webhooks.of(caller.space, limit=limit)
    return FailedWebhookList(data=[FailedWebhook.of(event) for event in found])


@router.post(
    "/failed/{event_id}/resend",
    operation_id="resend_webhook",
    status_code=202,
    responses=COMMON | error(404, "No such webhook that was given up"),
)
def resend(caller: CanSubmit, event_id: EventId, services: ServicesDep) -> WebhookResent:
    """Send a webhook again that was given up, under the same `webhook-id`, with all attempts."""
    if services.settings.webhook_targets == "off":
        raise InvalidRequest("webhooks are switched off on this server", param="event_id")
    services.failed_webhooks.resend(caller.space, event_id)
    log_action("resend", webhook=event_id)
    return WebhookResent(id=event_id)
