"""The overview, owners, webhooks that were given up, the audit, and the configuration."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.admin.access import Operates
from api.admin.responses import (
    AuditList,
    CheckLine,
    CheckList,
    Overview,
    OwnerList,
    OwnerObject,
)
from api.admin.state import read_queues, read_workers, with_failed_segments
from api.auth.caller import Caller
from api.http.openapi import COMMON, error
from api.operations.configuration import check_all
from api.services import Services
from api.webhooks.routes import EventId, FailedWebhook, WebhookResent
from shared.errors import InvalidRequest
from shared.jobs import PUBLIC, Status
from shared.store.api_keys import ApiKey
from shared.store.audit import Audit
from shared.store.limits import NO_LIMIT
from shared.store.queue_state import QueueState
from shared.store.usage import read_usage
from shared.store.webhooks import MAX_FAILED_EVENTS

router = APIRouter(prefix="/v1/admin", tags=["admin"])
# Failed jobs of the overview, the newest.
OVERVIEW_JOBS = 10


class OwnedFailedWebhook(FailedWebhook):
    """A webhook that was given up, and whose it is."""

    owner: str


class OwnedFailedWebhookList(BaseModel):
    """The newest of all owners, the newest first."""

    object: str = "list"
    data: list[OwnedFailedWebhook]


@router.get("/overview", operation_id="admin_get_overview", responses=COMMON)
def overview(operation: Operates) -> Overview:
    """Return workers, queues, speed and the newest failed jobs at a glance."""
    services = operation.services
    state = QueueState.read(services.redis)
    failed = services.job_list.page(None, limit=OVERVIEW_JOBS, statuses=[Status.FAILED]).jobs
    return Overview(
        at=int(time.time()),
        jobs_open=state.jobs_open,
        segments_per_minute=round(60 * state.segments_per_s, 1),
        audio_seconds_per_second=round(state.audio_s_per_s, 2),
        workers=read_workers(services),
        queues=read_queues(services),
        failed=with_failed_segments(services, failed),
        failed_webhooks=services.failed_webhooks.count(_signers(services)),
    )


@router.get("/owners", operation_id="admin_list_owners", responses=COMMON)
def owners(operation: Operates) -> OwnerList:
    """List what each owner has open and has used today, with its keys and limits."""
    services = operation.services
    keys: dict[str, list[ApiKey]] = {}
    for key in services.keys.all():
        if not key.revoked_at:
            keys.setdefault(key.owner, []).append(key)
    return OwnerList(
        data=[
            OwnerObject(
                **usage.model_dump(),
                keys=[f"{key.id} ({key.name})" for key in keys.get(usage.owner, ())],
                limits=_limits(services, usage.owner, keys.get(usage.owner, [])),
            )
            for usage in read_usage(services.redis, keys)
        ]
    )


def _limits(services: Services, owner: str, keys: list[ApiKey]) -> dict[str, int | None]:
    """The limits of an owner's first key; None is no limit."""
    limits = Caller(owner, keys[0] if keys else None).limits(services.settings)
    return {
        name: None if value == NO_LIMIT else value
        for name, value in limits._asdict().items()
        if name != "open_segments"  # of all owners together
    }


@router.get("/webhooks/failed", operation_id="admin_list_failed_webhooks", responses=COMMON)
def failed_webhooks(
    operation: Operates,
    owner: Annotated[str | None, Query(max_length=64, description="Default: all.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_FAILED_EVENTS, description="Of the newest.")] = 100,
) -> OwnedFailedWebhookList:
    """List the webhooks of all owners that were given up after their last attempt."""
    services = operation.services
    signers = _signers(services) if owner is None else {owner}
    return OwnedFailedWebhookList(
        data=[
            OwnedFailedWebhook(**FailedWebhook.of(event).model_dump(), owner=each)
            for each, event in services.failed_webhooks.of_all(signers, limit=limit)
        ]
    )


def _signers(services: Services) -> set[str]:
    """Every owner that may have webhooks, also one whose keys were revoked."""
    return {PUBLIC, *(key.owner for key in services.keys.all())}


@router.post(
    "/webhooks/failed/{event_id}/resend",
    operation_id="admin_resend_webhook",
    status_code=202,
    responses=COMMON | error(404, "No such webhook that was given up"),
)
def resend(operation: Operates, event_id: EventId) -> WebhookResent:
    """Send a webhook of any owner again, under the same `webhook-id`, with all attempts."""
    services = operation.services
    with operation.audited("resend", event_id):
        if services.settings.webhook_targets == "off":
            raise InvalidRequest("webhooks are switched off on this server", param="event_id")
        services.failed_webhooks.resend(services.failed_webhooks.signer_of(event_id), event_id)
    return WebhookResent(id=event_id)


@router.get("/audit", operation_id="admin_list_audit", responses=COMMON)
def audit(
    operation: Operates,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Of the newest.")] = 100,
    before: Annotated[
        str | None,
        Query(
            max_length=41,
            pattern="^[0-9]{1,20}-[0-9]{1,20}$",
            description="The last `id` of the page before.",
        ),
    ] = None,
) -> AuditList:
    """List what operators did, by which key, and how it ended; the newest 10,000 are kept."""
    return AuditList(data=Audit(operation.services.redis).newest(limit, before=before))


@router.get("/check", operation_id="admin_check", responses=COMMON)
def check(operation: Operates) -> CheckList:
    """Check the configuration as this API process sees it."""
    services = operation.services
    parts = check_all(services.settings, services.redis, services.storage)
    lines = [
        CheckLine(
            name=part.name,
            ok=part.finding.problem is None,
            says=part.finding.problem or part.says,
            warnings=list(part.finding.warnings),
        )
        for part in parts
    ]
    return CheckList(ok=all(line.ok for line in lines), data=lines)
