"""Workers, queues and models: list, drain, pause, resume, purge, forget."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.admin.access import Operates
from api.admin.responses import ChangeObject, PurgeObject, QueueList, WorkerList
from api.admin.state import read_queues, read_workers
from api.http.bounds import MAX_MODEL_CHARS
from api.http.openapi import COMMON, error
from shared.models import full_name
from shared.store.live_workers import LiveWorkers
from shared.store.pauses import Pauses, check_model
from shared.store.purge import purge as purge_jobs

router = APIRouter(prefix="/v1/admin", tags=["admin"])
# Jobs that one request cancels: some hundred milliseconds.
JOBS_PER_PURGE = 500
WorkerId = Annotated[str, Path(max_length=256, description="The worker's `id` in the list.")]
QueueId = Annotated[
    str, Path(max_length=MAX_MODEL_CHARS, description="The model's id or short name.")
]
NO_WORKER = COMMON | error(404, "No such worker, or one of an older version")
NO_MODEL = COMMON | error(404, "No such model")


@router.get("/workers", operation_id="admin_list_workers", responses=COMMON)
def workers(operation: Operates) -> WorkerList:
    """List the live workers: version, models, precision, storage, speed, and what they speak."""
    return WorkerList(data=read_workers(operation.services))


@router.post("/workers/{worker_id}/drain", operation_id="admin_drain_worker", responses=NO_WORKER)
def drain(operation: Operates, worker_id: WorkerId) -> ChangeObject:
    """Let a worker claim nothing any more; it ends what it speaks, and stays until it is stopped.

    It does not exit by itself: what watches over it would start it anew.
    """
    with operation.audited("drain", worker_id):
        since = LiveWorkers(operation.services.redis).drain(worker_id)
    return ChangeObject(id=worker_id, action="drain", since=since)


@router.post("/workers/{worker_id}/resume", operation_id="admin_resume_worker", responses=NO_WORKER)
def resume_worker(operation: Operates, worker_id: WorkerId) -> ChangeObject:
    """Let a drained worker claim again; nothing changes for one that is not drained."""
    with operation.audited("resume worker", worker_id):
        LiveWorkers(operation.services.redis).resume(worker_id)
    return ChangeObject(id=worker_id, action="resume")


@router.get("/queues", operation_id="admin_list_queues", responses=COMMON)
def queues(operation: Operates) -> QueueList:
    """List the queue of each model: what waits by priority, for how long, and what is spoken."""
    return QueueList(data=read_queues(operation.services))


@router.post("/queues/{model_id:path}/pause", operation_id="admin_pause_model", responses=NO_MODEL)
def pause(operation: Operates, model_id: QueueId) -> ChangeObject:
    """Let nothing of a model be claimed; what is spoken ends, and jobs are accepted and wait."""
    model = full_name(model_id)
    with operation.audited("pause", model):
        since = Pauses(operation.services.redis).pause(model)
    return ChangeObject(id=model, action="pause", since=since)


@router.post(
    "/queues/{model_id:path}/resume", operation_id="admin_resume_model", responses=NO_MODEL
)
def resume_model(operation: Operates, model_id: QueueId) -> ChangeObject:
    """End the pause of a model; nothing changes for one that is not paused."""
    model = full_name(model_id)
    with operation.audited("resume model", model):
        was_paused = Pauses(operation.services.redis).resume(model)
    if was_paused:
        waiting = operation.services.ledger.waiting([model])[model]
        operation.services.wake_ups.publish(model, waiting)
    return ChangeObject(id=model, action="resume")


@router.post("/queues/{model_id:path}/purge", operation_id="admin_purge_model", responses=NO_MODEL)
def purge(operation: Operates, model_id: QueueId) -> PurgeObject:
    """Cancel up to 500 jobs of a model of which nothing was begun; ask again while some are left.

    Each job is `cancelled` for its owner, with its webhook.
    """
    model, services = full_name(model_id), operation.services
    with operation.audited("purge", model):
        check_model(services.redis, model)
        done = purge_jobs(services.redis, services.ledger, model, limit=JOBS_PER_PURGE)
    return PurgeObject(model=model, cancelled=done.cancelled, left=done.left)


@router.delete(
    "/models/{model_id:path}",
    operation_id="admin_forget_model",
    responses=NO_MODEL | error(409, "A worker serves it, or segments wait for it"),
)
def forget(operation: Operates, model_id: QueueId) -> ChangeObject:
    """Forget a model that no worker serves and nothing waits for."""
    model = full_name(model_id)
    with operation.audited("forget", model):
        operation.services.registry.forget(model)
    return ChangeObject(id=model, action="forget")
