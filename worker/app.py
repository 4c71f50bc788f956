"""The composition root of a worker: load the model, then consume its queue."""

from __future__ import annotations

import os
import socket
import warnings

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging, worker_shutting_down
from redis import Redis

from shared.broker import SYNTHESISE_TASK, WakeUpPublisher, make_celery_app, queue_name
from shared.fitness import HealthChecks
from shared.models import Compute, ModelCard
from shared.settings import Settings
from shared.storage import Storage, StorageLimits
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.voices import Voices
from shared.store.workers import WorkerRegistry
from worker.celery_transport import Connection
from worker.cleaner import Cleaner
from worker.engine.build import build_engine, choose_parts
from worker.engine.clone_prompts import PromptStore
from worker.engine.engine import Engine
from worker.engine.kernels.compiler import keep_libraries_in
from worker.engine.precision import Precision
from worker.engine.speedup import int8_speedup
from worker.engine.threads import run_in_temporary_thread
from worker.heartbeat import Heartbeat, Watchdog
from worker.identity import worker_name
from worker.live_publisher import LivePublisher
from worker.model import catalogue
from worker.model.cpu import give_memory_back, set_up_cpu
from worker.model.loading import load_model
from worker.model.tuning_file import TuningFile
from worker.prompt_store import VoicePromptStore
from worker.segment_task import SegmentTask
from worker.shutdown import GracefulShutdown, StopSignals


def serve(settings: Settings) -> int:
    """Run a worker until SIGTERM and return its exit code; raises `ModelUnavailable`."""
    limits = StorageLimits.of_worker(settings.storage_timeout_s)
    storage = Storage.open(settings.storage_url, limits)
    fitness = HealthChecks(settings, storage, redis_every_s=60, storage_every_s=60)
    redis = connect(settings.redis_url)
    voices = Voices(redis)
    # First, so that a worker whose model cannot be loaded never takes a message.
    card, engine = start_engine(settings, VoicePromptStore(voices, storage))
    name = worker_name()
    ledger = make_ledger(settings, redis, name)
    app = make_celery_app(settings.redis_url)
    wake_ups = WakeUpPublisher(app)
    heartbeat = make_heartbeat(settings, name, card, engine, wake_ups)
    live = LivePublisher(connect(settings.redis_url))
    shutdown = GracefulShutdown(settings.drain_s, heartbeat.revoke_leases)
    task = SegmentTask(
        card.id,
        ledger=ledger,
        storage=storage,
        engine=engine,
        heartbeat=heartbeat,
        live=live,
        at_once=settings.slots,
        is_stopping=lambda: shutdown.has_begun or fitness.has_wrong_storage,
    )
    app.task(name=SYNTHESISE_TASK)(task.__call__)
    cleaner = Cleaner(ledger=ledger, voices=voices, storage=storage, ttl_s=settings.result_ttl_s)
    fitness.start()
    heartbeat.start()
    cleaner.start()
    try:
        # More than the engine's slots: the others store, or wait for a permit to claim.
        threads = settings.slots + max(4, settings.slots // 4)
        return consume(app, queue_name(card.id), shutdown, threads=threads)
    finally:
        shutdown.begin()  # after an error, too, the stop has a deadline
        fitness.stop()
        cleaner.stop()
        heartbeat.stop()
        engine.close()
        live.close()
        wake_ups.close()
        shutdown.end()


def make_heartbeat(
    settings: Settings, name: str, card: ModelCard, engine: Engine, wake_ups: WakeUpPublisher
) -> Heartbeat:
    """The heartbeat of a worker, with its own connections: the task threads cannot use them up."""
    redis = connect(settings.redis_url)
    ledger = make_ledger(settings, redis, name)
    return Heartbeat(
        worker=name,
        card=card,
        ledger=ledger,
        registry=WorkerRegistry(redis),
        wake_ups=wake_ups,
        is_alive=lambda: engine.is_alive,
        watchdog=Watchdog(
            stalled_s=lambda: engine.stalled_s, messages=lambda: ledger.messages(card.id)
        ),
    )


def make_ledger(settings: Settings, redis: Redis, worker: str) -> Ledger:
    """A ledger with a worker's lease and attempts."""
    return Ledger(
        redis, lease_s=settings.lease_s, max_attempts=settings.max_attempts, worker=worker
    )


def start_engine(settings: Settings, prompts: PromptStore) -> tuple[ModelCard, Engine]:
    """Load the model that the settings name, and an engine for it; raises `ModelUnavailable`."""
    set_up_cpu(settings.threads)  # before any thread is started: threads inherit these modes
    source = catalogue.locate(settings.model)
    model = run_in_temporary_thread(
        lambda: load_model(source, device=settings.device, threads=settings.threads),
    )
    card = catalogue.card_of(settings.model, model)
    cache = catalogue.cache_folder().parent
    keep_libraries_in(cache / "kernels")
    answers = TuningFile(cache / "tuning.json")
    parts = choose_parts(
        model,
        Precision(settings.precision or Precision.default_on(settings.device)),
        settings.slots,
        compiled=bool(settings.compile),
        answers=answers,
    )
    language_model, codec = parts.names
    compute = Compute(
        precision=parts.precision,
        language_model=language_model,
        codec=codec,
        int8_speedup=int8_speedup(model, parts, answers),
    )
    engine = build_engine(
        model, parts, slots=settings.slots, max_waiting=2 * settings.slots, prompts=prompts
    )
    give_memory_back()
    return card.model_copy(update={"compute": compute}), engine


def consume(app: Celery, queue: str, shutdown: GracefulShutdown, *, threads: int) -> int:
    """Consume one queue until SIGTERM; returns the exit code.

    The threads pool has a thread for each request in the engine, which waits for it.
    """
    # Celery warns root of pickled messages; ours are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning, module="celery.platforms")
    # At each loss of a connection it warns of lost messages; ours are mere wake-ups.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    # A receiver of this signal keeps Celery from setting up logging itself.
    setup_logging.connect(lambda **_: None, weak=False)

    def begin_shutdown(**_: object) -> None:
        shutdown.begin()

    worker_shutting_down.connect(begin_shutdown)
    app.conf.broker_transport = "worker.celery_transport:Transport"
    app.amqp.Connection = Connection
    StopSignals.add_to(app)
    worker = app.Worker(
        hostname=f"{os.getpid()}@{socket.gethostname()}",  # read by Celery only
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
