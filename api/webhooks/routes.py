"""The secret that webhooks are signed with."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.auth.scopes import CanSubmit
from api.http.access_log import log_action
from api.http.openapi import COMMON
from api.services import ServicesDep

router = APIRouter(prefix="/v1/webhooks/default/secret", tags=["webhooks"])
UNSTORED = {"Cache-Control": "no-store"}


class WebhookSecret(BaseModel):
    """The secret that signs your webhooks: `whsec_` and the key in base64."""

    key: str


@router.get("", responses=COMMON)
def secret(caller: CanSubmit, response: Response, services: ServicesDep) -> WebhookSecret:
    """Return the secret that signs your webhooks."""
    response.headers.update(UNSTORED)
    return WebhookSecret(key=services.webhook_secrets.of(caller.space)[0])


@router.post("/rotate", responses=COMMON)
def rotate(caller: CanSubmit, response: Response, services: ServicesDep) -> WebhookSecret:
    """Make a new secret; for 24 hours webhooks are signed with the one of before, too."""
    response.headers.update(UNSTORED)
    log_action("rotate", webhook_secret="default")
    return WebhookSecret(key=services.webhook_secrets.rotate(caller.space)[0])
