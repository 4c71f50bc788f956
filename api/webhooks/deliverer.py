"""Delivery of events that are due, several receivers at a time, for as long as the API runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, suppress
from http import HTTPStatus

from anyio.to_thread import run_sync
from pydantic import ValidationError

from api.webhooks.delivery import ATTEMPT_TIMEOUT_S
from api.webhooks.retries import RETRIES_S, Reply, next_after_s
from shared import tracing
from shared.background import BackgroundThread
from shared.errors import FetchFailed, InvalidRequest, Unavailable
from shared.log_context import log_context
from shared.store.webhooks import Event, Events

POLL_S = 0.5
MAX_DELIVERIES = 32
GRACE_S = 2
# Longer than an attempt, with some time to read the job and to record the outcome.
LEASE_S = ATTEMPT_TIMEOUT_S + 5
_log = logging.getLogger(__name__)


class Deliverer(BackgroundThread):
    """Takes due events from the queue and gives each to `deliver`, in a task of its own.

    The thread runs the event loop of all tasks. An event that is under way when the process ends
    is delivered by another process when its lease runs out.
    """

    def __init__(
        self,
        events: Events,
        deliver: Callable[[Event], Awaitable[Reply]],
        *,
        retries_s: Sequence[float] = RETRIES_S,
        max_deliveries: int = MAX_DELIVERIES,
        poll_s: float = POLL_S,
    ) -> None:
        self._events = events
        self._deliver = deliver
        self._retries_s = retries_s
        self._max_deliveries = max_deliveries
        self._poll_s = poll_s
        self._redis_is_away = False
        super().__init__("webhooks", lambda stopping: asyncio.run(self._deliver_due(stopping)))

    def close(self) -> None:
        """Take no more events; deliveries under way get `GRACE_S` seconds to finish."""
        self.stop(GRACE_S + 1)

    async def _deliver_due(self, stopping: threading.Event) -> None:
        free = asyncio.Semaphore(self._max_deliveries)
        failure: Exception | None = None
        with suppress(TimeoutError):  # the grace is over
            async with asyncio.timeout(None) as grace, asyncio.TaskGroup() as tasks:
                try:
                    while not stopping.is_set():
                        try:
                            await asyncio.wait_for(free.acquire(), self._poll_s)
                        except TimeoutError:
                            continue
                        await self._begin_next(stopping, tasks, free)
                    grace.reschedule(asyncio.get_running_loop().time() + GRACE_S)
                except Exception as error:  # noqa: BLE001 - raised below, for the thread to restart
                    # Raised in the group, it would cancel the deliveries that are under way.
                    failure = error
        if failure is not None:
            raise failure

    async def _begin_next(
        self, stopping: threading.Event, tasks: asyncio.TaskGroup, free: asyncio.Semaphore
    ) -> None:
        """Begin the delivery of the event that is due first, or wait if none is."""
        event = await self._take()
        if event is None:
            free.release()
            await run_sync(stopping.wait, self._poll_s)
        else:
            task = tasks.create_task(self._attend(event), name=event.id)
            task.add_done_callback(lambda _: free.release())

    async def _take(self) -> Event | None:
        try:
            event = await run_sync(self._events.take)
        except Unavailable as error:
            if not self._redis_is_away:
                _log.warning("Webhooks wait: %s", error)
            self._redis_is_away = True
            return None
        except ValidationError:  # one that cannot be read holds up no others
            _log.exception("A webhook could not be read")
            return None
        self._redis_is_away = False
        return event

    async def _attend(self, event: Event) -> None:
        """Deliver an event and record the outcome; an error here must not end other deliveries."""
        try:
            with _context(event), _span(event):
                await self._attempt(event)
        except Unavailable as error:
            _log.warning("Webhook %s is tried again when its lease is over: %s", event.id, error)
        except Exception:  # noqa: BLE001 - a task that fails would cancel its whole group
            _log.exception("Webhook %s is tried again when its lease is over", event.id)

    async def _attempt(self, event: Event) -> None:
        """Make one attempt; raises `Unavailable` if Redis is away and the outcome stays open."""
        try:
            reply = await self._deliver(event)
        except (FetchFailed, InvalidRequest) as error:
            await self._retry(event, error.message)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - a job that cannot be read must not hold up the others
            _log.exception("Webhook %s could not be sent", event.id)
            await self._retry(event, "an error on our side")
        else:
            if 200 <= reply.status < 300 or reply.status == HTTPStatus.GONE:
                await run_sync(self._events.done, event, str(reply.status))
                _log.info("%s: %d, done", _label(event), reply.status)
            else:
                await self._retry(event, str(reply.status), reply)

    async def _retry(self, event: Event, reason: str, reply: Reply | None = None) -> None:
        after_s = next_after_s(event.attempt - event.before, self._retries_s, reply)
        if after_s is None:
            await run_sync(self._events.give_up, event, reason)
            _log.warning("%s: %s, given up; it can be sent again", _label(event), reason)
        else:
            await run_sync(self._events.again, event, after_s, reason)
            _log.info("%s: %s, again in %.0f s", _label(event), reason, after_s)


def _context(event: Event) -> AbstractContextManager[object]:
    """The context of all lines about an event."""
    return log_context(job=event.job, **({"request": event.request} if event.request else {}))


def _span(event: Event) -> AbstractContextManager[object]:
    return tracing.span(
        "webhook",
        parent=event.traceparent or None,
        kind="client",
        tts__job=event.job,
        tts__event=event.type,
        tts__attempt=event.attempt,
    )


def _label(event: Event) -> str:
    """The text for an event in logs, without its URL's path, which may hold a secret."""
    return f"Webhook {event.id} to {event.receiver.split()[-1]}, attempt {event.attempt}"
