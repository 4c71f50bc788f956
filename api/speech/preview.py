"""The preview of a voice: a sentence in its language, spoken once and kept as long as a job."""

from __future__ import annotations

from api.caller import Caller
from api.speech.admission import SpeechAdmission
from api.speech.requests import SpeechRequest
from api.voices.responses import VoiceObject
from shared.formats import SpeechFormat
from shared.jobs import Job, Status
from shared.store.ledger import Ledger

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
