"""The composition root of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool

from api import web
from api.admin import jobs as admin_jobs
from api.admin import queues as admin_queues
from api.admin import routes as operators
from api.batches import routes as batches
from api.contents import routes as contents
from api.contents.requests import DocumentRequest
from api.http import errors
from api.http.body_budget import BodyBudget
from api.http.cors import Cors
from api.http.draining import DRAIN, ClosingConnections
from api.http.head import HeadAsGet
from api.http.loopback import LoopbackOnly
from api.http.middleware import BodyLimit, ErrorBoundary, RequestId
from api.http.openapi import DESCRIPTION, SUMMARY, TAGS, describe
from api.http.proxy import ProxyHeaders, first_part
from api.http.tracing import RequestSpans
from api.jobs import events, history, listing, results
from api.jobs import routes as jobs
from api.jobs.requests import REQUEST_CLASSES
from api.ledgers import LedgerChoice, Ledgers
from api.operations import health, metrics, models
from api.safe_http.client import SafeClient
from api.services import Services
from api.speech import preview
from api.speech import routes as speech
from api.speech.requests import SpeechRequest
from api.voices import routes as voices
from api.webhooks import routes as webhooks
from api.webhooks.deliverer import LEASE_S, Deliverer
from api.webhooks.delivery import WebhookSender
from shared import tracing
from shared.errors import InvalidSetting
from shared.settings import Settings
from shared.store.webhooks import Events

# Seconds that a start waits for the first checks, so that `/readyz` has an answer at once.
FIRST_CHECKS_TIMEOUT_S = 1.0
# In the order of the description.
ROUTE_MODULES = (
    *(jobs, contents, listing, events, history, results, batches, webhooks),
    *(speech, voices, preview, models, admin_jobs, admin_queues, operators),
    *(health, metrics, web),
)
# The bodies that the routes read themselves, so that FastAPI does not know their models.
REQUEST_MODELS = (*REQUEST_CLASSES, DocumentRequest, SpeechRequest)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; its connections open at their first use and close when it stops."""
    settings = settings or Settings.load()
    ledgers = Ledgers(settings)
    client = SafeClient(allow_private=settings.webhook_targets == "any")
    deliverers = [_deliverer(services, client) for services in ledgers]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        for services in ledgers:
            services.fitness.start()
        for services in ledgers:
            await run_in_threadpool(services.fitness.wait, FIRST_CHECKS_TIMEOUT_S)
        if settings.webhook_targets != "off":
            for deliverer in deliverers:
                deliverer.start()
        health.log_readiness(ledgers)
        try:
            yield
        finally:
            for deliverer in deliverers:
                await run_in_threadpool(deliverer.close)
            await ledgers.close()
            await run_in_threadpool(tracing.shutdown)

    # Its documentation page loads nothing from elsewhere, as FastAPI's own does.
    app = FastAPIOffline(
        redoc_url=None,
        docs_url=None,  # `api.web` has it
        title="qwen-tts-queue",
        version=version("qwen-tts-queue"),
        summary=SUMMARY,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
    )
    app.state.ledgers, app.state.services = ledgers, ledgers.first
    errors.install(app)
    for module in ROUTE_MODULES:
        app.include_router(module.router)
    app.include_router(voices.list_router)
    app.openapi = lambda: describe(app, REQUEST_MODELS)  # type: ignore[method-assign]  # how FastAPI wants it
    _add_middleware(app, settings, ledgers)
    return app


def _add_middleware(app: FastAPI, settings: Settings, ledgers: Ledgers) -> None:
    """Add what every request passes, the innermost first; raises `InvalidSetting`."""
    if settings.further_ledgers:
        app.add_middleware(LedgerChoice, ledgers=ledgers)
    app.add_middleware(HeadAsGet)
    budget = BodyBudget(settings.max_bodies_bytes, settings.max_body_bytes)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, budget=budget)
    if settings.auth == "auto":
        app.add_middleware(LoopbackOnly, keys=ledgers.first.keys)
    app.add_middleware(ErrorBoundary)
    app.add_middleware(Cors, origins=settings.allowed_origins)
    app.add_middleware(ClosingConnections, drain=DRAIN)
    app.add_middleware(RequestId, log_requests=settings.log_requests)
    if tracing.is_on():
        app.add_middleware(RequestSpans)  # outside: the log of requests names the trace
    routes = [*app.routes, *(route for each in ROUTE_MODULES for route in each.router.routes)]
    own = frozenset(first_part(getattr(route, "path", "")) for route in routes) - {""}
    if first_part(settings.root_path) in own:
        raise InvalidSetting(
            f"TTS_ROOT_PATH={settings.root_path!r}: paths of the API itself begin so; it is only "
            "what comes before them in the URL, such as /tts"
        )
    app.add_middleware(
        ProxyHeaders, trusted=settings.trusted_proxies, root_path=settings.root_path, own=own
    )


def _deliverer(services: Services, client: SafeClient) -> Deliverer:
    """The thread that delivers the webhooks of a ledger; `/readyz` reports its problems."""
    sender = WebhookSender(
        client,
        services.ledger,
        services.webhook_secrets,
        services.settings.result_ttl_s,
        services.settings.root_path,
    )
    deliverer = Deliverer(Events(services.redis, lease_s=LEASE_S), sender.deliver)
    services.threads.append(deliverer)
    return deliverer
