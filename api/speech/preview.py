"""The preview of a voice: a sentence in its language, spoken once and kept as long as a job."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.auth.caller import Caller
from api.auth.scopes import SUBMIT_LISTENER, CanSubmit
from api.http.access_log import add_to_log
from api.http.openapi import BINARY, error
from api.services import ServicesDep
from api.speech.admission import SpeechAdmission
from api.speech.requests import SpeechRequest
from api.speech.streaming import STREAM_HEADERS, AudioStreamResponse, audio_chunks
from api.voices import lookup
from api.voices.responses import VoiceObject
from api.voices.routes import NO_VOICE_RESPONSES, VoiceId
from shared.formats import SpeechFormat
from shared.jobs import Job, Status
from shared.store.ledger import Ledger

router = APIRouter(prefix="/v1/audio/voices", tags=["voices"])
PREVIEW_RESPONSES = (
    {200: {"content": {"audio/wav": BINARY}, "description": "24 kHz, mono"}}
    | NO_VOICE_RESPONSES
    | error(409, "The sentence is being cancelled")
    | error(500, "The sentence could not be spoken")
)
# One for each language of the released models.
SENTENCES = {
    "chinese": "你好，这就是我的声音。",
    "english": "Hello, this is what I sound like.",
    "french": "Bonjour, voici à quoi ressemble ma voix.",
    "german": "Hallo, so klingt meine Stimme.",
    "italian": "Ciao, questa è la mia voce.",
    "japanese": "こんにちは、これが私の声です。",
    "korean": "안녕하세요, 제 목소리는 이렇습니다.",
    "portuguese": "Olá, é assim que soa a minha voz.",
    "russian": "Здравствуйте, вот так звучит мой голос.",
    "spanish": "Hola, así suena mi voz.",
}


def admit(
    voice: VoiceObject, caller: Caller, speech: SpeechAdmission, ledger: Ledger
) -> tuple[Job, SpeechRequest]:
    """The job of a voice's preview, and its request; an earlier job is used again if it exists.

    Raises as `SpeechAdmission.admit` does.
    """
    asked = SpeechRequest(
        input=SENTENCES.get(voice.language or "", SENTENCES["english"]),
        voice=voice.id,
        language=voice.language or "auto",
        response_format=SpeechFormat.WAV,
        seed=0,
    )
    once = caller.once(f"preview:{voice.id}:{voice.model}")
    job = speech.admit(asked, once)
    if job.status in (Status.FAILED, Status.CANCELLED):
        ledger.forget(job.id)
        job = speech.admit(asked, once)
    return job, asked


@router.post(
    "/{voice_id}/preview",
    operation_id="preview_voice",
    response_class=AudioStreamResponse,
    responses=PREVIEW_RESPONSES,
    dependencies=[SUBMIT_LISTENER],
)
async def preview(
    caller: CanSubmit, voice_id: VoiceId, services: ServicesDep
) -> AudioStreamResponse:
    """Let a voice speak a sentence in its language, while it is spoken, or as it was before.

    It is an ordinary job, which `x-job-id` names.
    """
    served, speech, ledger = services.served, services.speech_admission, services.ledger
    voice = await run_in_threadpool(lookup.find_preset, voice_id, served)
    if voice is not None:
        job, asked = await run_in_threadpool(admit, voice, caller, speech, ledger)
    else:
        voice = await run_in_threadpool(
            lookup.view_of_own, voice_id, services.voices, served, caller
        )
        job, asked = await services.storage_threads.run(admit, voice, caller, speech, ledger)
    add_to_log(job=job.id)
    return AudioStreamResponse(
        audio_chunks(services.live_audio.listening(job), asked),
        media_type="audio/wav",
        headers={**STREAM_HEADERS, "x-job-id": job.id},
    )
