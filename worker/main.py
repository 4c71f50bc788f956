"""The composition root of a worker: load the model, then consume its queue."""

from __future__ import annotations

import os
import socket
import warnings

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging, worker_shutting_down
from redis import Redis

from shared.announcer import Announcer
from shared.fitness import HealthChecks
from shared.models import ModelCard
from shared.queue import SYNTHESISE, make_app, queue_name
from shared.settings import Settings
from shared.storage import Storage, StorageLimits
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.voices import Voices
from shared.store.workers import WorkerRegistry
from worker import models
from worker.cpu import give_memory_back, set_up_cpu
from worker.drain import Drain
from worker.engine.build import build_engine
from worker.engine.clone_prompts import PromptStore
from worker.engine.engine import Engine
from worker.engine.precision import Precision
from worker.engine.threads import run_in_temporary_thread
from worker.expiry import Expiry
from worker.identity import worker_name
from worker.lease import Heartbeat
from worker.live import Live
from worker.loading import load_model
from worker.stop_signals import StopSignals
from worker.tasks import SegmentTask
from worker.transport import Connection
from worker.voice_prompts import VoicePrompts
from worker.watchdog import Watchdog


def serve(settings: Settings) -> int:
    """Run a worker until SIGTERM and return its exit code; raises `ModelUnavailable`."""
    limits = StorageLimits.of_worker(settings.storage_timeout_s)
    storage = Storage.open(settings.storage_url, limits)
    fitness = HealthChecks(settings, storage, redis_every_s=60, storage_every_s=60)
    redis = connect(settings.redis_url)
    voices = Voices(redis)
    # First, so that a worker that cannot speak never takes a message.
    card, engine = start_engine(settings, VoicePrompts(voices, storage))
    name = worker_name()
    ledger = ledger_of(settings, redis, name)
    app = make_app(settings.redis_url)
    announcer = Announcer(app)
    heartbeat = heartbeat_of(settings, name, card, engine, announcer)
    live = Live(connect(settings.redis_url))
    drain = Drain(settings.drain_s, heartbeat.hand_back)
    task = SegmentTask(
        card.id,
        ledger=ledger,
        storage=storage,
        engine=engine,
        heartbeat=heartbeat,
        live=live,
        at_once=settings.slots,
        is_stopping=lambda: drain.has_begun or fitness.has_wrong_storage,
    )
    app.task(name=SYNTHESISE)(task.__call__)
    expiry = Expiry(ledger=ledger, voices=voices, storage=storage, ttl_s=settings.result_ttl_s)
    fitness.start()
    heartbeat.start()
    expiry.start()
    try:
        # More than are spoken at once: the others store, or wait for their turn to claim.
        threads = settings.slots + max(4, settings.slots // 4)
        return consume(app, queue_name(card.id), drain, threads=threads)
    finally:
        drain.begin()  # whatever brought us here, from now on there is a deadline
        fitness.stop()
        expiry.stop()
        heartbeat.stop()
        engine.close()
        live.close()
        announcer.close()
        drain.end()


def heartbeat_of(
    settings: Settings, name: str, card: ModelCard, engine: Engine, announcer: Announcer
) -> Heartbeat:
    """The heartbeat of a worker, over connections that no thread that speaks can use up."""
    redis = connect(settings.redis_url)
    ledger = ledger_of(settings, redis, name)
    return Heartbeat(
        worker=name,
        card=card,
        ledger=ledger,
        roster=WorkerRegistry(redis),
        announcer=announcer,
        is_alive=lambda: engine.is_alive,
        watchdog=Watchdog(
            stalled_s=lambda: engine.stalled_s, messages=lambda: ledger.messages(card.id)
        ),
    )


def ledger_of(settings: Settings, redis: Redis, worker: str) -> Ledger:
    """The ledger as a worker uses it."""
    return Ledger(
        redis, lease_s=settings.lease_s, max_attempts=settings.max_attempts, worker=worker
    )


def start_engine(settings: Settings, prompts: PromptStore) -> tuple[ModelCard, Engine]:
    """Load the model that the settings name, and an engine for it; raises `ModelUnavailable`."""
    set_up_cpu(settings.threads)  # here, since every thread below takes its modes from this one
    source = models.locate(settings.model)
    model = run_in_temporary_thread(
        lambda: load_model(source, device=settings.device, threads=settings.threads),
    )
    card = models.card_of(settings.model, model)
    engine = build_engine(
        model,
        precision=Precision(settings.precision or Precision.default_on(settings.device)),
        slots=settings.slots,
        max_waiting=2 * settings.slots,
        compiled=settings.compile,
        prompts=prompts,
    )
    give_memory_back()
    return card, engine


def consume(app: Celery, queue: str, drain: Drain, *, threads: int) -> int:
    """Consume one queue until SIGTERM; returns the exit code.

    The threads pool has a thread for each request in the engine, which waits for it.
    """
    # Celery warns root of pickled messages; ours are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning, module="celery.platforms")
    # And, at each loss of a connection, of what messages do: they are hints here.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    # A receiver of this signal is how Celery is told that logging is set up already.
    setup_logging.connect(_keep_our_logging)

    def begin_drain(**_: object) -> None:
        drain.begin()

    worker_shutting_down.connect(begin_drain)
    app.conf.broker_transport = "worker.transport:Transport"
    app.amqp.Connection = Connection
    StopSignals.add_to(app)
    worker = app.Worker(
        hostname=f"{os.getpid()}@{socket.gethostname()}",  # Celery's; no other process learns it
        pool="threads",
        concurrency=threads,
        queues=[queue],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _keep_our_logging(**_: object) -> None:
    pass
