"""The secret that webhooks are signed with."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.auth import Speaker
from api.http.access_log import log_action
from api.http.answers import COMMON
from api.services import Use

router = APIRouter(prefix="/v1/webhooks/default/secret", tags=["webhooks"])
UNSTORED = {"Cache-Control": "no-store"}


class WebhookSecret(BaseModel):
    """What your webhooks are signed with: `whsec_` and the key in base64."""

    key: str


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
