"""The composition root of a worker: load the model, then consume its queue."""

from __future__ import annotations

import os
import socket
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging

from shared.connection import connect
from shared.ledger import Ledger
from shared.queue import SYNTHESISE, make_app, queue_name
from shared.roster import Roster
from shared.settings import Settings
from shared.storage import Storage
from worker import models
from worker.cpu import give_memory_back, set_up_cpu
from worker.engine.aside import aside
from worker.engine.assemble import assemble
from worker.engine.precision import Precision
from worker.lease import Heartbeat
from worker.loading import load_model
from worker.tasks import SegmentTask


def serve(settings: Settings) -> int:
    """Run a worker until SIGTERM and return its exit code; raises `ModelUnavailable`.

    The model is loaded first, so that a worker that cannot speak never takes a message.
    """
    storage = Storage.open(settings.storage_url)
    set_up_cpu(settings.threads)  # here, since every thread below takes its modes from this one
    source = models.locate(settings.model)
    model = aside(
        lambda: load_model(source, device=settings.device, threads=settings.threads),
    )
    card = models.card_of(settings.model, model)
    engine = assemble(
        model,
        precision=Precision(settings.precision or Precision.default_on(settings.device)),
        slots=settings.slots,
        max_waiting=2 * settings.slots,
        compiled=settings.compile,
    )
    give_memory_back()
    redis = connect(settings.redis_url)
    ledger = Ledger(redis, lease_s=settings.lease_s, max_attempts=settings.max_attempts)
    app = make_app(settings.redis_url)
    heartbeat = Heartbeat(
        worker=f"{socket.gethostname()}:{os.getpid()}",
        card=card,
        ledger=ledger,
        roster=Roster(redis),
        app=app,
        is_alive=lambda: engine.is_alive,
    )
    task = SegmentTask(ledger=ledger, storage=storage, engine=engine, heartbeat=heartbeat)
    app.task(name=SYNTHESISE)(task.__call__)
    heartbeat.start()
    try:
        # Twice the slots: the next requests are at hand while the last ones are decoded and stored.
        return consume(app, queue_name(card.id), threads=2 * settings.slots)
    finally:
        heartbeat.stop()
        engine.close()


def consume(app: Celery, queue: str, *, threads: int) -> int:
    """Consume one queue until SIGTERM; returns the exit code.

    The threads pool has a thread for each request in the engine, which waits for it.
    """
    # Celery warns root of pickled messages; ours are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning, module="celery.platforms")
    # A receiver of this signal is how Celery is told that logging is set up already.
    setup_logging.connect(_keep_our_logging)
    worker = app.Worker(
        hostname=f"{os.getpid()}@{socket.gethostname()}",
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
