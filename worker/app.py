"""The composition root of a worker: load the models, then consume their queues."""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutting_down
from redis import Redis

from shared.broker import SYNTHESISE_TASK, WakeUpPublisher, make_celery_app
from shared.errors import Unavailable
from shared.fitness import HealthChecks
from shared.log_context import set_process_context
from shared.models import ModelCard
from shared.settings import Settings
from shared.start_line import start_line
from shared.storage import Storage, StorageLimits
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.live_workers import LiveWorkers
from shared.store.voices import Voices
from shared.store.workers import WorkerRegistry
from worker.celery_transport import IS_OPEN_OPTION, Connection
from worker.cleaner import Cleaner
from worker.heartbeat import Heartbeat, Watchdog
from worker.identity import worker_name
from worker.live_publisher import LivePublisher
from worker.metrics import READY, serve_metrics
from worker.model.cpu import physical_cores
from worker.model.engines import make_pool
from worker.model.pool import ModelPool
from worker.model.switcher import ModelSwitcher
from worker.model_queues import ModelQueues
from worker.presence import Presence, describe
from worker.prompt_store import VoicePromptStore
from worker.segment_task import SegmentTask
from worker.shutdown import GracefulShutdown, StopSignals

_log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Run a worker until SIGTERM and return its exit code; raises `ModelUnavailable`.

    Raises `Misconfigured` if its metrics cannot be served, and `OtherWeights` if the name of one of
    its models stands for other weights.
    """
    name = worker_name()
    set_process_context(worker=name)
    _log.info(start_line(settings, f"worker {name} for {', '.join(settings.models)}"))
    if settings.metrics_port:
        serve_metrics(settings.metrics_host, settings.metrics_port)
    limits = StorageLimits.of_worker(settings.storage_timeout_s)
    storage = Storage.open(settings.storage_url, limits)
    redis = connect(settings.redis_url)
    voices = Voices(redis)
    # First, so that a worker with a model that cannot be loaded never takes a message.
    pool = make_pool(settings, VoicePromptStore(voices, storage))
    cards = pool.load_each()
    for card in cards:
        _log.info(model_line(card, settings))
    ledger = make_ledger(settings, redis, name)
    claim_names(redis, ledger, name, cards, settings.lease_s)
    worker = Worker(settings, name, pool, cards, ledger=ledger, storage=storage, voices=voices)
    return worker.run()


class Worker:
    """The parts of a worker whose models are loaded; `run` starts them, and stops them in order."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        pool: ModelPool,
        cards: Sequence[ModelCard],
        *,
        ledger: Ledger,
        storage: Storage,
        voices: Voices,
    ) -> None:
        self._settings, self._pool = settings, pool
        self._ledger, self._storage = ledger, storage
        self._app = make_celery_app(settings.redis_url)
        self._wake_ups = WakeUpPublisher(self._app)
        self._fitness = HealthChecks(settings, storage, redis_every_s=60, storage_every_s=60)
        presence = Presence(
            describe(name, settings, cards),
            LiveWorkers(connect(settings.redis_url)),
            loaded=lambda: pool.loaded,
        )
        self._heartbeat = make_heartbeat(settings, name, cards, pool, self._wake_ups, presence)
        self._live = LivePublisher(connect(settings.redis_url))
        self._shutdown = GracefulShutdown(settings.drain_s, self._heartbeat.revoke_leases)
        self._switcher = ModelSwitcher(pool, ledger, lambda: self._shutdown.has_begun)
        self._cleaner = Cleaner(
            ledger=ledger, voices=voices, storage=storage, ttl_s=settings.result_ttl_s
        )
        # More than the engine's slots: the others store, or wait for a permit to claim.
        max_calls = settings.slots + max(4, settings.slots // 4)
        tasks = {card.id: self._task(card) for card in cards}
        self._queues = ModelQueues(tasks, pool, max_calls, is_drained=lambda: presence.is_drained)
        add_task(self._app, self._queues)

    def run(self) -> int:
        """Consume the models' queues until SIGTERM; returns the exit code."""
        self._fitness.start()
        self._heartbeat.start()
        self._cleaner.start()
        if not self._pool.fits_whole:
            self._switcher.start()
        READY.set(1)
        try:
            queues = self._queues
            return consume(self._app, queues.names, self._shutdown, threads=queues.max_calls)
        finally:
            self._shutdown.begin()  # after an error, too, the stop has a deadline
            self._fitness.stop()
            self._cleaner.stop()
            self._heartbeat.stop()
            self._switcher.stop(timeout_s=0)  # a model that is being loaded need not be
            self._pool.close()
            self._live.close()
            self._wake_ups.close()
            self._shutdown.end()

    def _task(self, card: ModelCard) -> SegmentTask:
        return SegmentTask(
            card.id,
            ledger=self._ledger,
            storage=self._storage,
            hold_engine=partial(self._pool.hold, card.id),
            heartbeat=self._heartbeat,
            live=self._live,
            at_once=self._settings.slots,
            is_stopping=lambda: self._shutdown.has_begun or self._fitness.has_wrong_storage,
        )


def claim_names(
    redis: Redis, ledger: Ledger, worker: str, cards: Sequence[ModelCard], lease_s: float
) -> None:
    """Have the models' names stand for these weights; raises `OtherWeights`.

    While Redis is away this waits: nothing could be spoken anyway.
    """
    registry = WorkerRegistry(redis)
    while True:
        try:
            ledger.reconcile()  # leases that have run out are segments that wait
            for card in cards:
                registry.claim_name(worker, card, lease_s)
            return
        except Unavailable as error:
            _log.warning("Not ready yet: %s", error)
            time.sleep(1)


def model_line(card: ModelCard, settings: Settings) -> str:
    """The line of a loaded model: its task, and how it is computed."""
    how = card.compute
    compute = f"{how.precision} by {how.language_model} and {how.codec}, " if how else ""
    threads = settings.threads or physical_cores()
    on = f"on {threads} threads of the CPU" if settings.device == "cpu" else "on CUDA"
    return f"{card.id}: {card.task}, {compute}{on}, {settings.slots} slots"


def make_heartbeat(
    settings: Settings,
    name: str,
    cards: Sequence[ModelCard],
    pool: ModelPool,
    wake_ups: WakeUpPublisher,
    presence: Presence,
) -> Heartbeat:
    """The heartbeat of a worker, with its own connections: the task threads cannot use them up."""
    redis = connect(settings.redis_url)
    ledger = make_ledger(settings, redis, name)
    return Heartbeat(
        worker=name,
        cards=cards,
        ledger=ledger,
        registry=WorkerRegistry(redis),
        wake_ups=wake_ups,
        is_alive=lambda: pool.is_alive,
        watchdog=Watchdog(
            stalled_s=lambda: pool.stalled_s,
            # Those of a model that is not loaded wait until it is, and a drained worker takes none.
            messages=lambda: 0 if presence.is_drained else sum(map(ledger.messages, pool.loaded)),
        ),
        presence=presence,
    )


def make_ledger(settings: Settings, redis: Redis, worker: str) -> Ledger:
    """A ledger with a worker's lease and attempts."""
    return Ledger(
        redis, lease_s=settings.lease_s, max_attempts=settings.max_attempts, worker=worker
    )


def add_task(app: Celery, queues: ModelQueues) -> None:
    """Add the task of a message to the application, and leave out the queues that are not open."""

    def synthesise(task: Any) -> None:
        queues.work(task.request.delivery_info["routing_key"])

    app.task(name=SYNTHESISE_TASK, bind=True)(synthesise)
    options = {**app.conf.broker_transport_options, IS_OPEN_OPTION: queues.is_open}
    app.conf.broker_transport_options = options


def consume(app: Celery, queues: Sequence[str], shutdown: GracefulShutdown, *, threads: int) -> int:
    """Consume queues until SIGTERM; returns the exit code.

    The threads pool has a thread for each request in the engines, which waits for it.
    """
    # Celery warns root of pickled messages; ours are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning, module="celery.platforms")
    # At each loss of a connection it warns of lost messages; ours are mere wake-ups.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    # A receiver of this signal keeps Celery from setting up logging itself.
    setup_logging.connect(lambda **_: None, weak=False)

    def begin_shutdown(**_: object) -> None:
        shutdown.begin()

    def log_ready(**_: object) -> None:
        _log.info("Ready: takes segments from %s", ", ".join(queues))

    worker_shutting_down.connect(begin_shutdown)
    worker_ready.connect(log_ready)
    app.conf.broker_transport = "worker.celery_transport:Transport"
    app.amqp.Connection = Connection
    StopSignals.add_to(app)
    worker = app.Worker(
        hostname=f"{os.getpid()}@{socket.gethostname()}",  # read by Celery only
        pool="threads",
        concurrency=threads,
        queues=list(queues),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
