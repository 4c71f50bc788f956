"""Heartbeats of a worker `w` whose engine is always well, unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Callable

from redis import Redis

from shared.broker import WakeUpPublisher
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.ledger import Ledger
from shared.store.live_workers import LiveWorkers
from shared.store.workers import WorkerRegistry
from worker.heartbeat import Heartbeat, Watchdog
from worker.presence import Presence, describe

# It has nothing to bark at.
QUIET = Watchdog(stalled_s=lambda: 0.0, messages=lambda: 0)


def make_heartbeat(
    redis: Redis,
    ledger: Ledger,
    card: ModelCard,
    wake_ups: WakeUpPublisher,
    *,
    watchdog: Watchdog = QUIET,
    is_alive: Callable[[], bool] = lambda: True,
) -> Heartbeat:
    """A heartbeat that has not begun."""
    return Heartbeat(
        worker="w",
        cards=[card],
        ledger=ledger,
        registry=WorkerRegistry(redis),
        wake_ups=wake_ups,
        is_alive=is_alive,
        watchdog=watchdog,
        presence=Presence(
            describe("w", Settings(), [card]), LiveWorkers(redis), loaded=lambda: [card.id]
        ),
    )
