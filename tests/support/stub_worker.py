"""Workers without a model or messages, whose every other part is real, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

from shared.broker import WakeUpPublisher, make_celery_app
from shared.models import ModelCard
from shared.settings import Settings
from shared.storage import Storage
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.live_workers import LiveWorkers
from shared.store.workers import WorkerRegistry
from tests.support.processes import wait_until
from tests.support.stub_runner import StubCodec, StubRunner
from worker.engine.engine import Engine
from worker.heartbeat import Heartbeat, Watchdog
from worker.live_publisher import LivePublisher
from worker.metrics import EngineMetrics
from worker.model.pool import EngineHold
from worker.presence import Presence, describe
from worker.segment_task import SegmentTask

LOOK_S = 0.02


@contextmanager
def speaking(settings: Settings, cards: Sequence[ModelCard]) -> Iterator[None]:
    """A worker for each model; what it says is noise, at once."""
    with ExitStack() as workers:
        for card in cards:
            workers.enter_context(_worker(settings, card))
        yield


@contextmanager
def _worker(settings: Settings, card: ModelCard) -> Iterator[None]:
    redis, name, stopping = connect(settings.redis_url), f"stub of {card.id}", threading.Event()
    ledger = Ledger(redis, lease_s=10, max_attempts=3, worker=name)
    wake_ups = WakeUpPublisher(make_celery_app(settings.redis_url))
    engine = Engine(
        StubRunner(),
        StubCodec(deaf_at=None),
        slots=4,
        max_waiting=8,
        observer=EngineMetrics(card.id, 4),
    )
    workers = LiveWorkers(redis)
    presence = Presence(describe(name, settings, [card]), workers, loaded=lambda: [card.id])
    heartbeat = Heartbeat(
        presence=presence,
        worker=name,
        cards=[card],
        ledger=ledger,
        registry=WorkerRegistry(redis),
        wake_ups=wake_ups,
        is_alive=lambda: True,
        watchdog=Watchdog(stalled_s=lambda: 0.0, messages=lambda: 0),
    )
    live = LivePublisher(redis)
    task = SegmentTask(
        card.id,
        ledger=ledger,
        storage=Storage.open(settings.storage_url),
        hold_engine=lambda: nullcontext(EngineHold(engine)),
        heartbeat=heartbeat,
        live=live,
        at_once=4,
        is_stopping=stopping.is_set,
    )

    def loop() -> None:
        while not stopping.wait(LOOK_S):
            task()

    thread = threading.Thread(target=loop, daemon=True)
    heartbeat.start()
    thread.start()
    wait_until(lambda: any(each.id == name and each.info for each in workers.all()))
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        heartbeat.stop()
        engine.close()
        live.close()
        wake_ups.close()
        redis.close()
