"""`GET /metrics`, in the text format of Prometheus."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import cast

from fastapi import APIRouter, Request, Response
from prometheus_client import REGISTRY, CollectorRegistry, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool

from api.auth.scopes import CanReadMetrics
from api.http.openapi import COMMON
from api.ledgers import Ledgers
from api.operations.health import checks_of
from api.operations.ledger_metrics import LedgerCollector, LedgerScrape
from api.services import Services
from shared.ledgers import FIRST_LEDGER

router = APIRouter(tags=["health"])
# A folder in which several processes of one API count together.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@router.get("/metrics", operation_id="get_metrics", response_class=Response, responses=COMMON)
async def metrics(request: Request, _caller: CanReadMetrics) -> Response:
    """Return the metrics for Prometheus; docs/monitoring.md has a table of them.

    They are those of this API, and those of the queue, which are a second old at the most. While
    Redis is away, `tts_redis_up` is 0 and the queue is missing.
    """
    ledgers = cast(Ledgers, request.app.state.ledgers)
    names = [FIRST_LEDGER, *ledgers.further]
    scraped = await asyncio.gather(*map(_scrape, ledgers))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    registry = CollectorRegistry()
    registry.register(_ProcessCollector())
    registry.register(LedgerCollector(dict(zip(names, scraped, strict=True))))
    content = await run_in_threadpool(encode, registry)
    return Response(content, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


async def _scrape(services: Services) -> LedgerScrape:
    checks = checks_of(services.fitness, services.threads)
    figures = await services.queue_monitor.figures()
    return LedgerScrape(figures, {name: check.ok for name, check in checks.items()})


class _ProcessCollector(Collector):
    """The counts of this process; of several, those of all, with the memory of this one."""

    def collect(self) -> Iterator[Metric]:
        """Yield each family."""
        if SHARED_FOLDER in os.environ:
            yield from MultiProcessCollector(None).collect()  # type: ignore[no-untyped-call]  # as the package has it
            yield from ProcessCollector(registry=None).collect()
        else:
            yield from REGISTRY.collect()
