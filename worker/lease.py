"""The worker's heartbeat: it keeps the leases, says that the worker lives, and reconciles."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from celery import Celery

from shared.errors import Unavailable
from shared.jobs import Claim
from shared.ledger import Ledger
from shared.models import ModelCard
from shared.queue import announce
from shared.roster import Roster

BEAT_S = 2.0
_log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that beats every `BEAT_S` seconds until it is stopped.

    When `is_alive` says that the engine is gone, it ends the process as SIGTERM does.
    """

    def __init__(
        self,
        *,
        worker: str,
        card: ModelCard,
        ledger: Ledger,
        roster: Roster,
        app: Celery,
        is_alive: Callable[[], bool],
    ) -> None:
        self._worker = worker
        self._card = card
        self._ledger = ledger
        self._roster = roster
        self._app = app
        self._is_alive = is_alive
        self._held: dict[tuple[str, int], tuple[Claim, threading.Event]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Sign out and stop."""
        self._stopping.set()
        self._thread.join()

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[threading.Event]:
        """Keep a claim's lease; the event is set when the claim is lost."""
        # By epoch: this process may take a segment again while a thread still has the old claim.
        key, lost = (claim.segment_id, claim.epoch), threading.Event()
        with self._lock:
            self._held[key] = claim, lost
        try:
            yield lost
        finally:
            with self._lock:
                del self._held[key]

    def _loop(self) -> None:
        while True:
            if not self._is_alive():
                _log.critical("The engine is gone; this worker stops")
                os.kill(os.getpid(), signal.SIGTERM)
                break
            try:
                self._beat()
            except Unavailable as error:
                _log.warning("Heartbeat missed: %s", error)
            except Exception:  # noqa: BLE001 - without a heartbeat the worker loses its leases
                _log.exception("Heartbeat failed; the next one may not")
            if self._stopping.wait(BEAT_S):
                break
        self._sign_out()

    def _beat(self) -> None:
        self._roster.sign_in(self._worker, self._card)
        with self._lock:
            held = dict(self._held)
        for claim in self._ledger.renew(claim for claim, _lost in held.values()):
            held[claim.segment_id, claim.epoch][1].set()
        announce(self._app, self._ledger.reconcile())

    def _sign_out(self) -> None:
        try:
            self._roster.sign_out(self._worker, self._card)
        except Unavailable as error:
            _log.warning("Could not sign out: %s", error)
