"""The queue of webhook events: changes of jobs, for the receivers that their clients named.

The ledger puts an event into the queue in the step that changes its job; here it is taken out.
"""

from __future__ import annotations

import logging
from enum import StrEnum

from pydantic import ValidationError
from redis import Redis

from shared.jobs import PUBLIC, Status
from shared.records import Record
from shared.store.scripts import Steps

MAX_UNREAD_ATTEMPTS = 10
# Events that were given up: seconds for which each is kept, and how many of one signer.
FAILED_EVENT_TTL_S, MAX_FAILED_EVENTS = 7 * 24 * 3_600, 1_000
_log = logging.getLogger(__name__)


class EventType(StrEnum):
    """The kinds of events: each status that a job comes to."""

    IN_PROGRESS = "job.in_progress"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"


END_EVENTS = (EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED)


class Webhook(Record):
    """The receiver of a job's events, and the kinds that it wants.

    `receiver` is the URL's scheme, host and port; the secret of `signer` signs them.
    """

    url: str
    receiver: str
    signer: str = PUBLIC
    events: tuple[EventType, ...] = END_EVENTS


class Event(Record):
    """A change of a job, to be delivered; `at` is when it happened, by Redis's clock.

    `attempt` counts from 1, and the id is the same in each. Clients know the job by `public_id`.
    `before` are the attempts after which it was given up, if it was then sent again. The job came
    from `request`, whose span is `traceparent`, if they are known.
    """

    id: str
    type: EventType
    job: str
    public_id: str
    url: str
    receiver: str
    signer: str
    at: float
    attempt: int
    before: int = 0
    request: str = ""
    traceparent: str = ""

    @property
    def status(self) -> Status:
        """The job's new status."""
        return Status(self.type.removeprefix("job."))


class Events:
    """The queue in Redis; several processes may deliver. Every method may raise `Unavailable`."""

    def __init__(self, redis: Redis, *, lease_s: float) -> None:
        self._lease_s = lease_s
        self._steps = Steps(redis)

    def take(self) -> Event | None:
        """Take the event that is due first, for one lease; None if none is due.

        An event whose outcome is not recorded when the lease ends is due again.
        """
        flat = self._steps.run("webhook_take", self._lease_s)
        if not flat:
            return None
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        try:
            return Event.model_validate(fields)
        except ValidationError:
            # A process of the version that wrote it can read it, if one is left.
            if int(fields["attempt"]) >= MAX_UNREAD_ATTEMPTS:
                _log.warning("Dropped a webhook of another version: %s", fields["id"])
                self._forget(fields["id"], fields["attempt"], "dropped: of another version")
            raise

    def done(self, event: Event, answer: str = "") -> None:
        """Forget an event: its receiver has given this answer, and wants no more of it."""
        self._forget(event.id, event.attempt, answer)

    def _forget(self, event_id: str, attempt: int | str, answer: str) -> None:
        self._steps.run("webhook_settle", event_id, attempt, "done", answer)

    def give_up(self, event: Event, reason: str) -> None:
        """Keep an event that could not be delivered, unless another attempt is under way."""
        kept = (FAILED_EVENT_TTL_S, MAX_FAILED_EVENTS)
        self._steps.run("webhook_settle", event.id, event.attempt, "failed", reason, *kept)

    def again(self, event: Event, after_s: float, reason: str = "") -> None:
        """Have an event tried again, unless that has begun already."""
        self._steps.run("webhook_settle", event.id, event.attempt, "again", reason, after_s)
