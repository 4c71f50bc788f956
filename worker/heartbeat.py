"""The worker's heartbeat, which renews leases, signs the worker in and reconciles; its watchdog."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from shared.background import BackgroundThread
from shared.broker import WakeUpPublisher
from shared.errors import Unavailable
from shared.jobs import Claim
from shared.models import ModelCard
from shared.store.ledger import Ledger
from shared.store.workers import WorkerRegistry
from worker.metrics import HEARTBEATS_MISSED, LEASES_LOST
from worker.presence import Presence

HEARTBEAT_INTERVAL_S = 1.0
STALL_LIMIT_S = 15.0
SLOW_LIMIT_S = 5.0  # far longer than a step takes
STALLED_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
_log = logging.getLogger(__name__)


class Heartbeat(BackgroundThread):
    """A thread that beats every `HEARTBEAT_INTERVAL_S` seconds until it is stopped, and signs out.

    It signs in with `cards`, one for each model that the worker serves, loaded or not.
    Once `is_alive` is false, since an engine has ended or a model cannot be loaded, it ends the
    process as SIGTERM does: what other engines speak keeps its leases meanwhile. The watchdog ends
    a process that is stuck, or whose every heartbeat fails.
    """

    def __init__(
        self,
        *,
        worker: str,
        cards: Sequence[ModelCard],
        ledger: Ledger,
        registry: WorkerRegistry,
        wake_ups: WakeUpPublisher,
        is_alive: Callable[[], bool],
        watchdog: Watchdog,
        presence: Presence,
    ) -> None:
        self._worker = worker
        self._cards = cards
        self._ledger = ledger
        self._registry = registry
        self._wake_ups = wake_ups
        self._is_alive = is_alive
        self._watchdog = watchdog
        self._presence = presence
        self._is_ending = False
        self._revokes_all = False
        self._held: dict[tuple[str, int], tuple[Claim, threading.Event]] = {}
        self._lock = threading.Lock()
        super().__init__("heartbeat", self._loop, longest_pause_s=HEARTBEAT_INTERVAL_S)

    def note_message(self) -> None:
        """Note that a message was taken."""
        self._watchdog.reset_idle_clock()

    def note_speech(self, audio_s: float) -> None:
        """Note that a segment of `audio_s` seconds was committed."""
        self._presence.note_speech(audio_s)

    @contextmanager
    def hold_lease(self, claim: Claim) -> Iterator[threading.Event]:
        """Renew a claim's lease; the event is set when the claim is revoked.

        That is when the lease is lost, the job is cancelled, or `revoke_leases` is called.
        """
        # With the epoch: this process may claim a segment anew while a thread has the old claim.
        key, revoked = (claim.segment_id, claim.epoch), threading.Event()
        with self._lock:
            self._held[key] = claim, revoked
            if self._revokes_all:
                revoked.set()
        try:
            yield revoked
        finally:
            with self._lock:
                del self._held[key]

    def revoke_leases(self) -> None:
        """Revoke every claim that is held, and every one that will be."""
        with self._lock:
            self._revokes_all = True
            for _claim, revoked in self._held.values():
                revoked.set()

    def _loop(self, stopping: threading.Event) -> None:
        while True:
            if not self._is_ending and not self._is_alive():
                self._is_ending = True
                _log.critical("An engine has ended, or a model cannot be loaded; this worker stops")
                os.kill(os.getpid(), signal.SIGTERM)
            try:
                self._beat()
            except Unavailable as error:
                _log.warning("Heartbeat missed: %s", error)
                HEARTBEATS_MISSED.inc()
                self._watchdog.reset_idle_clock()
                self._watchdog.note_beat()
            except Exception:
                self._watchdog.note_failure()
                raise
            if stopping.wait(HEARTBEAT_INTERVAL_S):
                break
        try:
            self._registry.sign_out(self._worker, *self._cards)
            self._presence.withdraw()
        except Unavailable as error:
            _log.warning("Could not sign out: %s", error)

    def _beat(self) -> None:
        self._registry.sign_in(self._worker, *self._cards)
        self._presence.announce()
        with self._lock:
            held = dict(self._held)
        self._watchdog.check(is_idle=not held)
        if self._watchdog.is_engine_moving:
            for claim in self._ledger.renew(claim for claim, _revoked in held.values()):
                held[claim.segment_id, claim.epoch][1].set()
                LEASES_LOST.inc()
        self._watchdog.note_beat()  # the leases are renewed, even if reconciling fails
        for model, missing in self._ledger.reconcile():
            self._wake_ups.publish(model, missing)


class Watchdog:
    """Ends a process that has stopped working, so that its supervisor starts another.

    `check` is called at each heartbeat. `stalled_s` returns the age of the engine's present step,
    `messages` the number of messages in the queues that the worker consumes now.
    """

    def __init__(self, *, stalled_s: Callable[[], float], messages: Callable[[], int]) -> None:
        self._stalled_s = stalled_s
        self._messages = messages
        self._idle_since_s: float | None = None
        self._failing_since_s: float | None = None

    def check(self, *, is_idle: bool) -> None:
        """End the process if the engine or, in an idle worker, the consumer has stalled."""
        if self._stalled_s() > STALL_LIMIT_S:
            self._exit("The engine has not moved")
        if not is_idle:
            self.reset_idle_clock()
        elif self._idle_s() > STALL_LIMIT_S:
            self._exit("Nothing was consumed, though something waits,")

    @property
    def is_engine_moving(self) -> bool:
        """True if the engine makes progress; if not, the worker's leases are to run out."""
        return self._stalled_s() < SLOW_LIMIT_S

    def note_failure(self) -> None:
        """Note a failed heartbeat; end the process if all have failed for `STALL_LIMIT_S`.

        Meanwhile its leases run out, those of new claims included.
        """
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        if now_s - self._failing_since_s > STALL_LIMIT_S:
            self._exit("Every heartbeat has failed")

    def note_beat(self) -> None:
        """Note that a heartbeat kept its leases, or that Redis was away, which is no failure."""
        self._failing_since_s = None

    def reset_idle_clock(self) -> None:
        """Note that a message was taken, that none waits, or that Redis was away."""
        self._idle_since_s = None

    def _idle_s(self) -> float:
        now_s = time.monotonic()
        if not self._messages():
            self.reset_idle_clock()
            return 0.0
        if self._idle_since_s is None:
            self._idle_since_s = now_s
        return now_s - self._idle_since_s

    def _exit(self, reason: str) -> None:
        _log.critical("%s for %g s: this worker exits", reason, STALL_LIMIT_S)
        logging.shutdown()
        os._exit(STALLED_EXIT_CODE)
