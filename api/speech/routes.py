"""Speech at once, in the shape of OpenAI's API."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.auth import SUBMITTER_LISTENER, Submitter
from api.http.access_log import add_to_log
from api.http.answers import REFUSALS, Answers, error
from api.http.headers import IDEMPOTENCY_KEY, described
from api.jobs import admission
from api.services import ServicesDep
from api.speech import admission as speaking
from api.speech.requests import BODY, Asked
from api.speech.streaming import SpokenResponse, events_of, sound_of
from shared.formats import SpeechFormat

router = APIRouter(prefix="/v1/audio", tags=["speech"])
EVENTS = "text/event-stream"
KINDS = (*(kind.media_type for kind in SpeechFormat), EVENTS)
EXTRA = BODY | described(IDEMPOTENCY_KEY)
ANSWERS: Answers = {
    200: {"content": {kind: {} for kind in KINDS}, "description": "Sound, as it is spoken"},
    **REFUSALS,
    **error(404, "No such model"),
    **error(500, "The text could not be spoken"),
}


@router.post(
    "/speech",
    response_class=SpokenResponse,
    responses=ANSWERS,
    openapi_extra=EXTRA,
    dependencies=[SUBMITTER_LISTENER],
)
async def speech(caller: Submitter, asked: Asked, services: ServicesDep) -> SpokenResponse:
    """Speak a text to whoever listens, in the shape of OpenAI's API.

    It is an ordinary job, which `x-job-id` names: its WAV can be fetched later, and it is cancelled
    if the connection ends first. The answer begins with the first sound, and is broken off if
    something fails after that. Fields that are not known are ignored.
    """
    checked = await run_in_threadpool(speaking.check, asked, services, caller)
    run = services.storage_threads.run if checked.has_files else run_in_threadpool
    job = await run(admission.admit, checked, services, caller)
    add_to_log(job=job.id)
    is_sse = asked.stream_format == "sse"
    return SpokenResponse(
        (events_of if is_sse else sound_of)(job, asked, services),
        media_type=EVENTS if is_sse else asked.response_format.media_type,
        # Proxies must not gather it either.
        headers={"x-job-id": job.id, "Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
