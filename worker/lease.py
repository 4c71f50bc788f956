"""The worker's heartbeat: it keeps the leases, says that the worker lives, and reconciles."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.background import BackgroundThread
from shared.broker import WakeUpPublisher
from shared.errors import Unavailable
from shared.jobs import Claim
from shared.models import ModelCard
from shared.store.ledger import Ledger
from shared.store.workers import Roster
from worker.watchdog import Watchdog

BEAT_S = 1.0
_log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that beats every `BEAT_S` seconds until it is stopped.

    When `is_alive` says that the engine is gone, it ends the process as SIGTERM does; the watchdog
    ends one that is stuck, or whose every heartbeat fails.
    """

    def __init__(
        self,
        *,
        worker: str,
        card: ModelCard,
        ledger: Ledger,
        roster: Roster,
        announcer: WakeUpPublisher,
        is_alive: Callable[[], bool],
        watchdog: Watchdog,
    ) -> None:
        self._worker = worker
        self._card = card
        self._ledger = ledger
        self._roster = roster
        self._announcer = announcer
        self._is_alive = is_alive
        self._watchdog = watchdog
        self._hands_back = False
        self._held: dict[tuple[str, int], tuple[Claim, threading.Event]] = {}
        self._lock = threading.Lock()
        self.thread = BackgroundThread("heartbeat", self._loop, longest_pause_s=BEAT_S)

    def start(self) -> None:
        """Begin to beat."""
        self.thread.start()

    def stop(self) -> None:
        """Sign out and stop."""
        self.thread.stop()

    def consumed(self) -> None:
        """Note that a message was taken."""
        self._watchdog.consumed()

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[threading.Event]:
        """Keep a claim's lease; the event is set when the claim is lost."""
        # By epoch: this process may take a segment again while a thread still has the old claim.
        key, lost = (claim.segment_id, claim.epoch), threading.Event()
        with self._lock:
            self._held[key] = claim, lost
            if self._hands_back:
                lost.set()
        try:
            yield lost
        finally:
            with self._lock:
                del self._held[key]

    def hand_back(self) -> None:
        """Tell every holder to let go, now and from now on."""
        with self._lock:
            self._hands_back = True
            for _claim, lost in self._held.values():
                lost.set()

    def _loop(self, stopping: threading.Event) -> None:
        while self._is_alive():
            try:
                self._beat()
            except Unavailable as error:
                _log.warning("Heartbeat missed: %s", error)
                self._watchdog.consumed()
                self._watchdog.beaten()
            except Exception:
                self._watchdog.failed()
                raise
            if stopping.wait(BEAT_S):
                break
        else:
            _log.critical("The engine is gone; this worker stops")
            os.kill(os.getpid(), signal.SIGTERM)
        self._sign_out()

    def _beat(self) -> None:
        self._roster.sign_in(self._worker, self._card)
        with self._lock:
            held = dict(self._held)
        self._watchdog.check(is_idle=not held)
        if self._watchdog.engine_moves:
            for claim in self._ledger.renew(claim for claim, _lost in held.values()):
                held[claim.segment_id, claim.epoch][1].set()
        self._watchdog.beaten()  # even if others' work is not put right
        for model, missing in self._ledger.reconcile():
            self._announcer.announce(model, missing)

    def _sign_out(self) -> None:
        try:
            self._roster.sign_out(self._worker, self._card)
        except Unavailable as error:
            _log.warning("Could not sign out: %s", error)
