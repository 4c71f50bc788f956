"""The secret that webhooks are signed with."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.access_log import log_action
from api.answers import COMMON
from api.deps import Use
from api.schemas import WebhookSecret
from api.sender import Speaker

router = APIRouter(prefix="/v1/webhooks/default/secret", tags=["webhooks"])
UNSTORED = {"Cache-Control": "no-store"}


@router.get("", responses=COMMON)
def secret(sender: Speaker, response: Response, services: Use) -> WebhookSecret:
    """Return the secret that signs your webhooks."""
    response.headers.update(UNSTORED)
    return WebhookSecret(key=services.webhook_secrets.of(sender.space)[0])


@router.post("/rotate", responses=COMMON)
def rotate(sender: Speaker, response: Response, services: Use) -> WebhookSecret:
    """Make a new secret; for 24 hours webhooks are signed with the one of before, too."""
    response.headers.update(UNSTORED)
    log_action("rotate", webhook_secret="default")
    return WebhookSecret(key=services.webhook_secrets.rotate(sender.space)[0])
