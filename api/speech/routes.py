"""The route of `POST /v1/audio/speech`, as OpenAI's API defines it."""

from __future__ import annotations

from contextlib import nullcontext

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.auth.scopes import SUBMITTER_LISTENER, Submitter
from api.http.access_log import add_to_log
from api.http.headers import header_list
from api.http.openapi import (
    BINARY,
    IDEMPOTENCY_KEY,
    REFUSALS,
    TEXT,
    Answers,
    described,
    error,
)
from api.services import ServicesDep
from api.speech.requests import OPENAPI_BODY, SpeechRequestDep
from api.speech.streaming import (
    STREAM_HEADERS,
    AudioStreamResponse,
    Listening,
    SilenceReader,
    audio_chunks,
    sse_chunks,
)
from shared.formats import SpeechFormat

router = APIRouter(prefix="/v1/audio", tags=["speech"])
SSE_MEDIA_TYPE = "text/event-stream"
OPENAPI_EXTRA = OPENAPI_BODY | described(IDEMPOTENCY_KEY)
SPEECH_RESPONSES: Answers = {
    200: {
        "content": {kind.media_type: BINARY for kind in SpeechFormat} | {SSE_MEDIA_TYPE: TEXT},
        "description": "Audio, while it is synthesised",
    },
    **REFUSALS,
    **error(404, "No such model"),
    **error(500, "The text could not be spoken"),
}


@router.post(
    "/speech",
    operation_id="create_speech",
    response_class=AudioStreamResponse,
    responses=SPEECH_RESPONSES,
    openapi_extra=OPENAPI_EXTRA,
    dependencies=[SUBMITTER_LISTENER],
)
async def speech(
    caller: Submitter, asked: SpeechRequestDep, services: ServicesDep
) -> AudioStreamResponse:
    """Speak a text to the client while it is synthesised, as OpenAI's API defines it.

    It is an ordinary job, which `x-job-id` names: its WAV can be fetched later, and it is cancelled
    if the connection ends first. The response begins with the first audio, or after 10 s with a
    silence of 0.1 s (in events, a comment), and is cut off if something fails after that. Where so
    much waits that it would begin too late, it is refused (503). A text without letters and digits
    is no job, but a silence of 0.2 s. Unknown fields are ignored; `x-ignored-fields` says which.
    """
    headers = dict(STREAM_HEADERS)
    if asked.ignored_fields:
        headers["x-ignored-fields"] = header_list(asked.ignored_fields)
    listening: Listening = nullcontext(SilenceReader())
    checked = await run_in_threadpool(services.speech_admission.check_words, asked, caller)
    if checked is not None:
        run = services.storage_threads.run if checked.has_files else run_in_threadpool
        job = await run(services.job_admission.admit, checked, caller)
        add_to_log(job=job.id)
        headers["x-job-id"] = job.id
        listening = services.live_audio.listening(job)
    is_sse = asked.stream_format == "sse"
    return AudioStreamResponse(
        (sse_chunks if is_sse else audio_chunks)(listening, asked),
        media_type=SSE_MEDIA_TYPE if is_sse else asked.response_format.media_type,
        headers=headers,
    )
