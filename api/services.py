"""The services of one API process, for its routes: connections, limits, admissions and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self, cast

from fastapi import Depends, Request
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from starlette.concurrency import run_in_threadpool

from api.batches.submit import BatchAdmission
from api.http.limited_threads import LimitedThreads
from api.http.listener_limit import ListenerLimit
from api.http.rate_limit import RateLimit
from api.jobs.admission import JobAdmission
from api.jobs.clone_source import CloneSources
from api.jobs.feeds import JobFeeds
from api.jobs.splitting import Splitter
from api.jobs.transcode import Transcoder
from api.jobs.waiter import JobWaiter
from api.speech.admission import SpeechAdmission
from api.speech.live_audio import LiveAudio
from api.voices.reference_audio import ReferenceReader
from shared.background import BackgroundThread
from shared.broker import WakeUpPublisher, make_celery_app
from shared.fitness import HealthChecks
from shared.settings import Settings
from shared.storage import Storage, StorageLimits
from shared.store.api_keys import ApiKeys
from shared.store.batches import Batches
from shared.store.connection import connect, connect_listeners
from shared.store.failed_webhooks import FailedWebhooks
from shared.store.job_list import JobList
from shared.store.key_mark import KeyMark
from shared.store.ledger import Ledger
from shared.store.voices import Voices
from shared.store.webhook_secrets import WebhookSecrets
from shared.store.workers import CachedModels, WorkerRegistry


@dataclass(frozen=True)
class Services:
    """The connections, limits and admissions of one process, opened once."""

    settings: Settings
    redis: Redis
    keys: ApiKeys
    ledger: Ledger
    job_list: JobList
    batches: Batches
    registry: WorkerRegistry
    served: CachedModels
    voices: Voices
    storage: Storage
    storage_threads: LimitedThreads
    fitness: HealthChecks
    wake_ups: WakeUpPublisher
    listeners: AsyncRedis
    webhook_secrets: WebhookSecrets
    # The threads whose problems `/readyz` reports.
    threads: tuple[BackgroundThread, ...]
    failed_webhooks: FailedWebhooks
    feeds: JobFeeds
    listener_limit: ListenerLimit
    rate_limit: RateLimit
    splitter: Splitter
    job_waiter: JobWaiter
    job_admission: JobAdmission
    batch_admission: BatchAdmission
    speech_admission: SpeechAdmission
    live_audio: LiveAudio
    transcoder: Transcoder

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open what the settings name; Redis is not asked anything yet."""
        redis = connect(settings.redis_url, answers_within_s=2.0)
        wake_ups = WakeUpPublisher(make_celery_app(settings.redis_url))
        registry = WorkerRegistry(redis, model_ttl_s=settings.model_ttl_s)
        ledger = Ledger(redis, lease_s=settings.lease_s, max_attempts=settings.max_attempts)
        limits = StorageLimits.of_api(settings.storage_timeout_s)
        storage = Storage.open(settings.storage_url, limits)
        storage_threads = LimitedThreads.for_storage()
        fitness = HealthChecks(settings, storage, redis_every_s=10, storage_every_s=30)
        feeds = JobFeeds(ledger)
        listener_limit = ListenerLimit(settings.max_listeners, settings.max_owner_listeners)
        voices = Voices(redis)
        clone_sources = CloneSources(voices, ReferenceReader(settings), storage)
        job_admission = JobAdmission(settings, ledger, storage, wake_ups, clone_sources)
        batches, served = Batches(redis), CachedModels(registry)
        listeners = connect_listeners(settings.redis_url)
        return cls(
            settings=settings,
            redis=redis,
            keys=ApiKeys(redis, KeyMark(storage)),
            ledger=ledger,
            job_list=JobList(redis),
            batches=batches,
            registry=registry,
            served=served,
            voices=voices,
            storage=storage,
            wake_ups=wake_ups,
            listeners=listeners,
            webhook_secrets=WebhookSecrets(redis),
            failed_webhooks=FailedWebhooks(redis),
            feeds=feeds,
            listener_limit=listener_limit,
            rate_limit=RateLimit(settings.max_requests_per_s),
            splitter=Splitter.of(settings),
            job_waiter=JobWaiter(ledger, feeds, listener_limit),
            job_admission=job_admission,
            batch_admission=BatchAdmission(settings, batches, ledger, served, job_admission),
            speech_admission=SpeechAdmission(
                settings.max_speech_chars, registry, voices, job_admission
            ),
            live_audio=LiveAudio(listeners, ledger, storage, storage_threads),
            transcoder=Transcoder(ledger, storage, storage_threads),
            storage_threads=storage_threads,
            fitness=fitness,
            threads=(wake_ups.thread, *(check.thread for check in fitness.checks)),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self.listeners.aclose()
        await run_in_threadpool(self.fitness.stop)
        self.wake_ups.close()
        self.ledger.close()
        self.redis.close()


def services_of(request: Request) -> Services:
    """The services of the running application, for what every request depends on.

    Such a dependency calls this: one more dependency of FastAPI would double its cost.
    """
    return cast(Services, request.app.state.services)


async def _services(request: Request) -> Services:
    # A coroutine, as is every dependency that waits for nothing: FastAPI calls plain functions in
    # another thread.
    return services_of(request)


ServicesDep = Annotated[Services, Depends(_services)]
