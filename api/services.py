"""The services of one API process, for its routes: connections, limits, admissions and settings.

A process has one `Services` for each ledger (`api.ledgers`), and all share one `Process`.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request
from redis import Redis
from starlette.concurrency import run_in_threadpool

from api.batches.submit import BatchAdmission
from api.http.limited_threads import LimitedThreads
from api.http.listener_limit import ListenerLimit
from api.http.rate_limit import RateLimit
from api.jobs.admission import JobAdmission
from api.jobs.aliases import Aliases
from api.jobs.clone_source import CloneSources
from api.jobs.feeds import JobFeeds
from api.jobs.splitting import Splitter
from api.jobs.transcode import Transcoder
from api.jobs.waiter import JobWaiter
from api.operations.queue_monitor import QueueMonitor
from api.speech.admission import SpeechAdmission
from api.speech.live_audio import LiveAudio
from api.voices.reference_audio import ReferenceReader
from shared.broker import WakeUpPublisher, make_celery_app
from shared.fitness import HealthChecks
from shared.settings import Settings
from shared.storage import Storage, StorageLimits
from shared.store.api_keys import ApiKeys, KeyMark
from shared.store.batches import Batches
from shared.store.connection import connect, connect_listeners
from shared.store.failed_webhooks import FailedWebhooks
from shared.store.job_list import JobList
from shared.store.ledger import Ledger
from shared.store.voices import Voices
from shared.store.webhook_secrets import WebhookSecrets
from shared.store.workers import CachedModels, WorkerRegistry

# The key of a request's scope that has the services of its ledger, if there are several.
SERVICES = "ledger_services"
REDIS_TIMEOUT_S = 2.0
# Seconds for which a process that serves several ledgers goes on with the keys that it read last.
KEYS_OUTAGE_S = 3_600.0


def _connect(settings: Settings) -> Redis:
    return connect(settings.redis_url, answers_within_s=REDIS_TIMEOUT_S)


class Process:
    """The parts of one process that all of its ledgers share: storage, keys, threads and limits.

    `settings` are those of the first ledger, which has the keys.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        limits = StorageLimits.of_api(settings.storage_timeout_s)
        self.storage = Storage.open(settings.storage_url, limits)
        self.storage_threads = LimitedThreads.for_storage()
        # The owners of other ledgers go on while the Redis of the keys is away.
        outage_s = KEYS_OUTAGE_S if settings.further_ledgers else 0.0
        self.redis = _connect(settings)
        self.keys = ApiKeys(self.redis, KeyMark(self.storage), outage_s=outage_s)
        self.listener_limit = ListenerLimit(settings.max_listeners, settings.max_owner_listeners)
        self.rate_limit = RateLimit(settings.max_requests_per_s)
        self.splitter = Splitter(settings.split_threads, settings.max_waiting_splits)
        self.aliases = Aliases.of(settings)


class Services:
    """The connections to one ledger, what serves its owners, and the parts of `process`.

    The ledger is that of `settings.redis_url`. Redis is not asked anything yet.
    """

    def __init__(self, settings: Settings, process: Process | None = None) -> None:
        process = process or Process(settings)
        self.settings = settings
        is_first = settings.redis_url == process.settings.redis_url
        self.redis = process.redis if is_first else _connect(settings)
        self.listeners = connect_listeners(settings.redis_url)
        self.wake_ups = WakeUpPublisher(make_celery_app(settings.redis_url))
        self.storage, self.storage_threads = process.storage, process.storage_threads
        self.fitness = HealthChecks(settings, self.storage, redis_every_s=10, storage_every_s=30)
        # Those whose problems `/readyz` reports.
        self.threads = [self.wake_ups.thread, *(check.thread for check in self.fitness.checks)]
        # What is in Redis.
        self.ledger = Ledger(
            self.redis,
            lease_s=settings.lease_s,
            max_attempts=settings.max_attempts,
            replicas=settings.redis_replicas,
        )
        self.job_list = JobList(self.redis)
        self.batches = Batches(self.redis)
        self.registry = WorkerRegistry(self.redis, model_ttl_s=settings.model_ttl_s)
        self.served = CachedModels(self.registry)
        self.voices = Voices(self.redis)
        self.webhook_secrets = WebhookSecrets(self.redis)
        self.failed_webhooks = FailedWebhooks(self.redis)
        # Keys and limits of this process.
        self.keys, self.aliases = process.keys, process.aliases
        self.listener_limit, self.rate_limit = process.listener_limit, process.rate_limit
        self.splitter = process.splitter
        self.queue_monitor = QueueMonitor(self.redis)
        # What serves jobs and speech.
        self.feeds = JobFeeds(self.ledger)
        self.job_waiter = JobWaiter(self.ledger, self.feeds, self.listener_limit)
        clone_sources = CloneSources(self.voices, ReferenceReader(settings), self.storage)
        self.job_admission = JobAdmission(
            settings, self.ledger, self.storage, self.wake_ups, clone_sources, self.aliases
        )
        self.batch_admission = BatchAdmission(
            settings, self.batches, self.ledger, self.served, self.job_admission
        )
        self.speech_admission = SpeechAdmission(
            settings.max_speech_chars,
            self.registry,
            self.voices,
            self.job_admission,
            self.aliases,
        )
        self.live_audio = LiveAudio(self.listeners, self.ledger, self.storage, self.storage_threads)
        self.transcoder = Transcoder(self.ledger, self.storage, self.storage_threads)

    async def close(self) -> None:
        """Close every connection."""
        await self.listeners.aclose()
        await run_in_threadpool(self.fitness.stop)
        self.queue_monitor.close()
        self.wake_ups.close()
        self.ledger.close()
        self.redis.close()


def services_of(request: Request) -> Services:
    """The services of a request's ledger, for what every request depends on.

    Such a dependency calls this: one more dependency of FastAPI would double its cost.
    """
    return cast(Services, request.scope.get(SERVICES) or request.app.state.services)


async def _services(request: Request) -> Services:
    # A coroutine, as is every dependency that waits for nothing: FastAPI calls plain functions in
    # another thread.
    return services_of(request)


ServicesDep = Annotated[Services, Depends(_services)]
