"""Delivering what is due, several receivers at a time, for as long as the API runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from pydantic import ValidationError

from api.webhooks.delivery import WITHIN_S
from api.webhooks.retries import RETRIES_S, Answered, next_after_s
from shared.background import BackgroundThread
from shared.errors import FetchFailed, InvalidRequest, Unavailable
from shared.store.webhooks import Event, Events

POLL_S = 0.5
AT_ONCE = 32
GOODBYE_S = 2
# Longer than an attempt, with some time to read the job and to say what became of it.
LEASE_S = WITHIN_S + 5
_log = logging.getLogger(__name__)


class Deliverer:
    """Takes due events from the queue and gives each to `deliver`, in a thread of its own.

    What is under way when the process ends is delivered by another one when its lease runs out.
    """

    def __init__(
        self,
        events: Events,
        deliver: Callable[[Event], Answered],
        *,
        retries_s: Sequence[float] = RETRIES_S,
        at_once: int = AT_ONCE,
        poll_s: float = POLL_S,
    ) -> None:
        self._events = events
        self._deliver = deliver
        self._retries_s = retries_s
        self._poll_s = poll_s
        self._at_once = at_once
        self._free = threading.Semaphore(at_once)
        self._away = False
        self.thread = BackgroundThread("webhooks", self._loop)

    def start(self) -> None:
        """Begin to deliver."""
        self.thread.start()

    def close(self) -> None:
        """Take nothing more, and wait a moment for what is under way."""
        until = time.monotonic() + GOODBYE_S
        self.thread.stop(GOODBYE_S)
        for _ in range(self._at_once):
            self._free.acquire(timeout=max(0, until - time.monotonic()))

    def _loop(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            if not self._free.acquire(timeout=self._poll_s):
                continue
            is_begun = False
            try:
                is_begun = self._begin_next()
            finally:
                if not is_begun:
                    self._free.release()
            if not is_begun:
                stopping.wait(self._poll_s)

    def _begin_next(self) -> bool:
        """Deliver what is due first, in a thread; False if nothing is."""
        event = self._take()
        if event is None:
            return False
        threading.Thread(target=self._attend, args=(event,), name=event.id, daemon=True).start()
        return True

    def _take(self) -> Event | None:
        try:
            event = self._events.take()
        except Unavailable as error:
            if not self._away:
                _log.warning("Webhooks wait: %s", error)
            self._away = True
            return None
        except ValidationError:  # one that cannot be read holds up no others
            _log.exception("A webhook could not be read")
            return None
        self._away = False
        return event

    def _attend(self, event: Event) -> None:
        try:
            self._attempt(event)
        except Unavailable as error:
            _log.warning("Webhook %s is tried again when its lease is over: %s", event.id, error)
        finally:
            self._free.release()

    def _attempt(self, event: Event) -> None:
        """Only Redis being away leaves it open what becomes of an event."""
        try:
            answered = self._deliver(event)
        except (FetchFailed, InvalidRequest) as error:
            self._retry(event, error.message)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever a job makes of it, its receiver's others wait
            _log.exception("Webhook %s could not be sent", event.id)
            self._retry(event, "an error on our side")
        else:
            self._heard(event, answered)

    def _heard(self, event: Event, answered: Answered) -> None:
        if 200 <= answered.status < 300 or answered.status == HTTPStatus.GONE:
            self._events.done(event)
            _log.info("%s: %d, done", _named(event), answered.status)
        else:
            self._retry(event, str(answered.status), answered)

    def _retry(self, event: Event, said: str, answered: Answered | None = None) -> None:
        after_s = next_after_s(event.attempt - event.before, self._retries_s, answered)
        if after_s is None:
            self._events.give_up(event, said)
            _log.warning("%s: %s, given up; it can be sent again", _named(event), said)
        else:
            self._events.again(event, after_s)
            _log.info("%s: %s, again in %.0f s", _named(event), said, after_s)


def _named(event: Event) -> str:
    """What logs may say of an event: the rest of its URL may be a secret."""
    return f"Webhook {event.id} to {event.receiver.split()[-1]}, attempt {event.attempt}"
