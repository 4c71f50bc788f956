"""Voices: list them, upload your own, fetch its recording, delete it."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth.caller import Caller
from api.auth.scopes import CanEditVoices, CanList, CanRead
from api.http.access_log import log_action
from api.http.openapi import BINARY, COMMON, error
from api.http.proxy import root_path_of
from api.services import ServicesDep
from api.voices import lookup
from api.voices.job_recording import find_source, with_recording
from api.voices.presets import presets
from api.voices.responses import VoiceDeleted, VoiceList, VoiceNames, VoiceObject
from api.voices.upload import OPENAPI_BODY, Uploaded, check, keep, remove_files
from shared.errors import InvalidRequest, ObjectNotFound, Unauthenticated, Unavailable
from shared.store.voices import Voice, Voices, recording_key
from shared.store.workers import CachedModels

router = APIRouter(prefix="/v1/audio/voices", tags=["voices"])
# Where clients of other servers ask for the list.
list_router = APIRouter(prefix="/v1", tags=["voices"])
ListFormat = Annotated[
    Literal["objects", "strings"], Query(description="`strings`: names only, for simple clients.")
]
VoiceId = Annotated[
    str, Path(max_length=128, description="The voice's `id`, or the name that you gave it.")
]
NO_VOICE_RESPONSES = COMMON | error(404, "No such voice")
UPLOAD_RESPONSES = (
    COMMON
    | error(404, "No such job")
    | error(409, "The name is taken, the job is not completed, or you have too many voices")
    | error(413, "The recording is too large")
    | error(415, "The body is no form")
)
SAMPLE_RESPONSES = {
    200: {"content": {"audio/wav": BINARY}, "description": "24 kHz, mono"}
} | NO_VOICE_RESPONSES


@router.get("", operation_id="list_voices", responses=COMMON)
@list_router.get("/voices", operation_id="list_voices_alias", responses=COMMON)
def list_voices(
    caller: CanList, services: ServicesDep, format: ListFormat = "objects"
) -> VoiceList | VoiceNames:
    """List the voices of the served models, and those that you have uploaded."""
    served = services.served.models()
    kept = services.voices.of(caller.space) if caller is not None else []
    own = [VoiceObject.of(voice, served) for voice in kept]
    listed = [*presets(served), *own]
    if format == "objects":
        return VoiceList(voices=listed, data=listed)
    names = [voice.id if voice.kind == "preset" else voice.name for voice in listed]
    return VoiceNames(voices=names, data=names)


@router.post(
    "",
    operation_id="create_voice",
    status_code=201,
    responses=UPLOAD_RESPONSES,
    openapi_extra=OPENAPI_BODY,
)
async def create(
    caller: CanEditVoices,
    sent: Uploaded,
    request: Request,
    response: Response,
    services: ServicesDep,
) -> VoiceObject:
    """Keep a recording as a voice, to be used by its id or name in jobs of `voice_clone`.

    It is mixed to one channel at 24 kHz, silence at its ends is cut off, but for half a second at
    the end. `warnings` say what would make the voice better. With `job` in its place, the voice is
    that of a finished job: design a voice, then clone it.
    """
    if sent.job is not None:
        job = await run_in_threadpool(find_source, sent.job, services.ledger, caller)
        sent = await services.storage_threads.run(with_recording, sent, job, services.storage)
    served = await run_in_threadpool(services.served.models)
    checked, wav = await run_in_threadpool(
        check, sent, caller, served, services.settings.max_reference_s
    )
    max_voices = services.settings.max_voices
    voice = await services.storage_threads.run(
        keep, checked, wav, services.voices, services.storage, max_voices
    )
    response.headers["Location"] = f"{root_path_of(request)}/v1/audio/voices/{voice.id}"
    return VoiceObject.of(voice, served)


@router.get("/{voice_id}", operation_id="get_voice", responses=NO_VOICE_RESPONSES)
def retrieve(caller: CanList, voice_id: VoiceId, services: ServicesDep) -> VoiceObject:
    """Return a voice: one of the models' own, or one of yours."""
    served = services.served
    preset = lookup.find_preset(voice_id, served)
    if preset is not None:
        return preset
    if caller is None:
        raise Unauthenticated("without a key, only the models' own voices are shown: send a key")
    return lookup.view_of_own(voice_id, services.voices, served, caller)


@router.get(
    "/{voice_id}/sample",
    operation_id="get_voice_sample",
    response_class=Response,
    responses=SAMPLE_RESPONSES,
)
async def sample(caller: CanRead, voice_id: VoiceId, services: ServicesDep) -> Response:
    """Return the recording of a voice of yours, as models hear it."""
    voice = await run_in_threadpool(_own_voice, voice_id, services.voices, services.served, caller)
    if voice is None:
        raise ObjectNotFound("the models' own voices have no recording", param="voice_id")
    wav = await services.storage_threads.run(services.storage.get, recording_key(voice.id))
    disposition = f'attachment; filename="{voice.id}.wav"'
    return Response(wav, media_type="audio/wav", headers={"Content-Disposition": disposition})


@router.delete("/{voice_id}", operation_id="delete_voice", responses=NO_VOICE_RESPONSES)
async def delete(caller: CanEditVoices, voice_id: VoiceId, services: ServicesDep) -> VoiceDeleted:
    """Delete a voice of yours, its recording and what models have made of it.

    Jobs that were accepted are still spoken, and keep what they need of it until they have ended.
    """
    voice = await run_in_threadpool(_own_voice, voice_id, services.voices, services.served, caller)
    if voice is None:
        raise InvalidRequest("the models' own voices cannot be deleted", param="voice_id")
    await run_in_threadpool(services.voices.delete, voice.id)
    with suppress(Unavailable):  # no thread is free: the files are swept later
        await services.storage_threads.run(remove_files, voice.id, services.storage)
    log_action("delete", voice=voice.id)
    return VoiceDeleted(id=voice.id)


def _own_voice(voice_id: str, saved: Voices, served: CachedModels, caller: Caller) -> Voice | None:
    """The caller's voice of that id or name; None if it is one of the models' own."""
    if lookup.find_preset(voice_id, served):
        return None
    return lookup.find(voice_id, saved, caller)
