"""A voice from a finished job: its first sentences are the recording, and their text is known."""

from __future__ import annotations

import numpy as np

from api.auth.caller import Caller
from api.jobs.lookup import find
from api.jobs.results import completed
from api.jobs.transcode import decode
from api.voices.upload import Upload, require_consent
from shared.audio.wav import encode_wav
from shared.errors import InvalidRequest, JobNotFound
from shared.jobs import Job
from shared.speech_model import SAMPLE_RATE, Task
from shared.storage import Storage
from shared.storage_paths import timings_key
from shared.store.ledger import Ledger
from shared.timings import SegmentTiming, Timings

# Whole segments are taken until there is so much sound; more only takes longer.
ENOUGH_S = 10.0
MAX_RECORDING_S = 30.0
NO_SPEAKER = "no person's voice: a job of {task} made it"


def find_source(job_id: str, ledger: Ledger, caller: Caller) -> Job:
    """The caller's completed job of that id; raises `JobNotFound` or `JobNotReady`."""
    try:
        return completed(find(job_id, ledger, caller))
    except JobNotFound as error:
        raise JobNotFound(error.message, param="job") from None


def with_recording(upload: Upload, job: Job, storage: Storage) -> Upload:
    """The upload with the recording, the text and the language of a completed job.

    Raises `InvalidRequest` if the job has no segment that can be used, or clones the voice of a
    person without consent.
    """
    assert job.result_key is not None
    consent = upload.consent
    if job.spec.task is Task.VOICE_CLONE:
        consent = require_consent(upload)
    timings = Timings.model_validate_json(storage.get(timings_key(job.result_key)))
    segments = _first_segments(timings)
    if not segments:
        raise InvalidRequest("the job has no segment of at most 30 s", param="job")
    language = job.spec.language if job.spec.language != "auto" else job.outline.language
    return upload.model_copy(
        update={
            "content": _cut(job, storage, segments[0].start_s, segments[-1].end_s),
            "consent": consent or NO_SPEAKER.format(task=job.spec.task),
            "ref_text": " ".join(segment.text for segment in segments),
            "language": upload.language or language,
            "description": upload.description or job.spec.instructions,
        }
    )


def _first_segments(timings: Timings) -> list[SegmentTiming]:
    """The first segments in a row that were not cut short, of about `ENOUGH_S` together."""
    found: list[SegmentTiming] = []
    for segment in timings.segments:
        start_s = found[0].start_s if found else segment.start_s
        if segment.truncated or segment.end_s - start_s > MAX_RECORDING_S:
            if found:
                break
            continue
        found.append(segment)
        if segment.end_s - start_s >= ENOUGH_S:
            break
    return found


def _cut(job: Job, storage: Storage, start_s: float, end_s: float) -> bytes:
    """A stretch of a job's audio as a WAV."""
    assert job.result_key is not None
    start, end = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
    size = storage.look(job.result_key).size_bytes
    parts, count = [], 0
    for pcm in decode(storage.open_read(job.result_key, 0, size)):
        parts.append(pcm)
        count += len(pcm)
        if count >= end:
            break
    samples = np.concatenate(parts)[start:end]
    return encode_wav((samples / np.float32(32_768)).astype(np.float32))
