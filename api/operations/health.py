"""Liveness and readiness of the process; neither route waits for anything."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import cast

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.http import errors
from api.http.draining import DRAIN
from api.http.openapi import Answers
from api.ledgers import Ledgers
from api.operations.responses import CheckObject, Health, NotReady, Readiness
from shared.background import BackgroundThread
from shared.errors import Unavailable
from shared.fitness import HealthChecks

STOPPING = "it is about to stop: send requests to another process"
_log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])
READINESS_RESPONSES: Answers = {
    200: {"model": Readiness, "description": "Jobs are accepted"},
    503: {"model": NotReady, "description": "Jobs cannot be accepted; see `checks`"},
}


@router.get("/health", include_in_schema=False)
@router.get("/healthz", operation_id="get_health")
async def alive() -> Health:
    """Return at once while the process lives."""
    return Health()


@router.get(
    "/readyz", operation_id="get_readiness", response_model=None, responses=READINESS_RESPONSES
)
async def ready(request: Request) -> JSONResponse:
    """Return whether jobs are accepted: Redis and the storage can be written to and read.

    With or without workers, they are. `checks` names each thing that is needed; it is looked at in
    the background, a second ago at most if this is asked often. Of several ledgers, one that works
    is enough: the owners of the others get 503.
    """
    ledgers = cast(Ledgers, request.app.state.ledgers)
    is_ready, checks = readiness_of(ledgers)
    if DRAIN.has_begun:
        is_ready, checks = False, checks | {"process": CheckObject(ok=False, problem=STOPPING)}
    problems = problems_of(checks)
    if is_ready:
        workers = sum(services.fitness.workers for services in ledgers)
        return JSONResponse(Readiness(workers=workers, checks=checks).model_dump())
    error = errors.body_of(Unavailable("; ".join(problems)))
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(
        NotReady(**error.model_dump(), checks=checks).model_dump(),
        status,
        headers=errors.HEADERS[Unavailable],
    )


def log_readiness(ledgers: Ledgers) -> None:
    """Log that jobs are accepted, or what they wait for; a check that is well again is logged."""
    is_ready, checks = readiness_of(ledgers)
    problems = problems_of(checks)
    if is_ready:
        workers = sum(services.fitness.workers for services in ledgers)
        _log.info("Ready: jobs are accepted; live workers: %d", workers)
    if problems:
        _log.warning("Not ready%s: %s", " in all" if is_ready else "", "; ".join(problems))


def readiness_of(ledgers: Ledgers) -> tuple[bool, dict[str, CheckObject]]:
    """True if one ledger at least works, and the checks of all."""
    checks = checks_of(ledgers.first.fitness, ledgers.first.threads)
    is_ready = all(check.ok for check in checks.values())
    for name, services in ledgers.further.items():
        found = checks_of(services.fitness, services.threads)
        is_ready |= all(check.ok for check in found.values())
        checks |= {f"{check}.{name}": each for check, each in found.items()}
    return is_ready, checks


def problems_of(checks: dict[str, CheckObject]) -> list[str]:
    """A sentence for each check that has failed."""
    return [f"{name}: {check.problem}" for name, check in checks.items() if not check.ok]


def checks_of(fitness: HealthChecks, threads: list[BackgroundThread]) -> dict[str, CheckObject]:
    """The outcome of each check, of all threads together too, without waiting."""
    found = {check.name: check.finding() for check in fitness.checks}
    checks = {
        name: CheckObject(
            ok=each.problem is None, problem=each.problem, warnings=list(each.warnings)
        )
        for name, each in found.items()
    }
    failed = "; ".join(filter(None, (thread.problem for thread in threads)))
    return checks | {"threads": CheckObject(ok=not failed, problem=failed or None)}
