"""The state of the service, read for operators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from api.admin.responses import OperatedJob, OperatedQueue, WaitingCounts, WorkerObject
from api.services import Services
from shared.jobs import Job, Priority
from shared.store.live_workers import LiveWorkers
from shared.store.pauses import paused_models
from shared.store.queue_figures import Queue, QueueFigures
from shared.store.segment_facts import SegmentFacts, read_segments, running_segments


def read_workers(services: Services) -> list[WorkerObject]:
    """Every live worker, with the segments that it holds."""
    held: dict[str, list[SegmentFacts]] = defaultdict(list)
    for segment in running_segments(services.redis):
        held[segment.worker or ""].append(segment)
    workers = LiveWorkers(services.redis).all()
    return [WorkerObject.of(worker, held[worker.id]) for worker in workers]


def read_queues(services: Services) -> list[OperatedQueue]:
    """The queue of each model that is known or waited for."""
    figures, paused = QueueFigures.read(services.redis), paused_models(services.redis)
    return [
        _queue(model, figures, paused.get(model)) for model in sorted({*figures.workers, *paused})
    ]


def _queue(model: str, figures: QueueFigures, paused_since: float | None) -> OperatedQueue:
    waiting = {priority: figures.waiting.get(Queue(model, priority), 0) for priority in Priority}
    running = (figures.running.get(Queue(model, priority), 0) for priority in Priority)
    return OperatedQueue(
        id=model,
        workers=figures.workers.get(model, 0),
        waiting=sum(waiting.values()),
        waiting_by_priority=WaitingCounts(
            high=waiting[Priority.HIGH],
            normal=waiting[Priority.NORMAL],
            low=waiting[Priority.LOW],
        ),
        running=sum(running),
        oldest_s=round(figures.oldest_s.get(model, 0.0), 1),
        paused_since=paused_since,
    )


def with_failed_segments(services: Services, jobs: Sequence[Job]) -> list[OperatedJob]:
    """The views of some jobs, each with the segment that failed it."""
    wanted = [job.failed_segment for job in jobs if job.failed_segment]
    found = {each.id: each for each in read_segments(services.redis, wanted)}
    return [OperatedJob.of(job, found.get(job.failed_segment or "")) for job in jobs]
