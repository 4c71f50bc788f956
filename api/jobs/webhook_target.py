"""The webhook of a request, checked."""

from __future__ import annotations

from api.jobs.requests import JobRequest
from api.safe_http.addresses import parse_url
from shared.errors import InvalidRequest
from shared.settings import Settings
from shared.store.webhooks import END_EVENTS, Webhook


def webhook_of(request: JobRequest, settings: Settings) -> Webhook | None:
    """Check a request's webhook, if it has one; its name is resolved when something is delivered.

    Raises `InvalidRequest`.
    """
    wanted = request.webhook_events_filter
    if request.webhook is None:
        if wanted is not None:
            raise InvalidRequest(
                "webhook_events_filter goes with webhook", param="webhook_events_filter"
            )
        return None
    if settings.webhook_targets == "off":
        raise InvalidRequest("webhooks are switched off on this server", param="webhook")
    allow_private = settings.webhook_targets == "any"
    url = parse_url(request.webhook, allow_private=allow_private, param="webhook")
    return Webhook(
        url=request.webhook,
        receiver=f"{url.scheme}://{url.netloc.decode('ascii')}",
        events=tuple(dict.fromkeys(wanted or END_EVENTS)),
    )
