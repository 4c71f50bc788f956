"""Why a job stands where it does, in sentences for an operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.jobs import TERMINAL, Job
from shared.store.live_workers import LiveWorker
from shared.store.segment_facts import SegmentFacts


def explain(
    job: Job, running: Sequence[SegmentFacts], workers: Sequence[LiveWorker], now_s: float
) -> Iterator[str]:
    """The sentences, what weighs most first."""
    if job.status in TERMINAL:
        ended = f"{job.error_message} ({job.error_code})" if job.error_code else ""
        yield f"it is {job.status}{': ' if ended else ''}{ended}"
        return
    model = job.spec.model
    if job.paused:
        yield f"{model} is paused: `narrate admin resume {model}`"
    serving = [worker for worker in workers if worker.info and model in worker.info.models]
    if job.waiting_for_model:
        yield f"no worker serves {model}: `python -m worker --model {model}`"
    elif serving and all(worker.draining_since for worker in serving):
        yield f"every worker of {model} is drained: `narrate admin resume WORKER`"
    elif serving and not any(worker.info and model in worker.info.loaded for worker in serving):
        yield f"no worker has {model} loaded now: its workers change models in turn"
    if job.queue_position and job.queue_position > 1:
        before = job.queue_position - 1
        yield f"{'1 job has its' if before == 1 else f'{before:,} jobs have their'} turn before it"
    for segment in running:
        held_s = now_s - segment.since if segment.since else 0
        what = "the join" if segment.number == "join" else f"segment {segment.number}"
        yield f"{segment.worker} has worked on {what} for {held_s:.0f} s"
        if segment.attempts > 1:
            yield f"{what} is in attempt {segment.attempts}"
    if job.retries:
        yield f"it was retried {'once' if job.retries == 1 else f'{job.retries:,} times'}"
    if not running and not job.paused and not job.waiting_for_model:
        yield "it waits for a free slot: see the queues and the workers"
