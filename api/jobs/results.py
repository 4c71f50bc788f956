"""The results of a completed job: audio, chapters, timings, subtitles."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.http.limited_threads import LimitedThreads
from api.http.openapi import BINARY, NOT_READY, TEXT, Answers, error
from api.http.stored_response import Stored, stored_response
from api.jobs.lookup import ReadableJob
from api.jobs.responses import public_id
from api.jobs.subtitles import srt, vtt
from api.jobs.transcode import WantedFormat
from api.services import ServicesDep
from shared.errors import JobNotReady, ObjectNotFound, Unavailable
from shared.formats import Format
from shared.jobs import TERMINAL, Job, Status
from shared.storage import Storage
from shared.storage_paths import chapter_key, timings_key
from shared.timings import Timings

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])
_AUDIO_CONTENT = {kind.media_type: BINARY for kind in Format}
AUDIO_RESPONSES: Answers = {
    200: {"content": _AUDIO_CONTENT, "description": "24 kHz, mono"},
    206: {"content": _AUDIO_CONTENT, "description": "The `Range` that was asked for"},
    304: {"description": "`If-None-Match` has it"},
    **NOT_READY,
    **error(416, "The file has no such `Range`"),
}
SUBTITLE_WRITERS = {"vtt": (vtt, "text/vtt"), "srt": (srt, "application/x-subrip")}


def completed(job: ReadableJob) -> Job:
    """The job, which has to be completed."""
    if not job.is_understood:
        raise Unavailable("a newer version has made this job: ask a server of that version for it")
    if job.status != Status.COMPLETED or job.result_key is None:
        fate = "there is no audio" if job.status in TERMINAL else "poll it until it is completed"
        raise JobNotReady(f"the job is {job.status}: {fate}")
    return job


ChapterNumber = Annotated[
    int, Path(ge=0, le=10**6, description="From 1; 0 is what comes before chapter 1.")
]
SubtitleFormat = Annotated[Literal["vtt", "srt"], Query(description="WebVTT or SubRip.")]
CompletedJob = Annotated[Job, Depends(completed)]


@router.head("/content", response_class=Response, include_in_schema=False)
@router.get(
    "/content",
    operation_id="get_job_audio",
    response_class=StreamingResponse,
    responses=AUDIO_RESPONSES,
)
async def content(
    request: Request, job: CompletedJob, services: ServicesDep, wanted: WantedFormat = None
) -> Response:
    """Return the finished audio, or a `Range` of it, in its own format or another.

    Another one is made at the first request for it, which may take some seconds.
    """
    key = await services.transcoder.ensure_format(job, wanted)
    stored = Stored(key, services.storage, services.storage_threads)
    name = job.outline.title or public_id(job)
    return await _send(request, stored, wanted or job.spec.response_format, name)


@router.head("/chapters/{number}/content", response_class=Response, include_in_schema=False)
@router.get(
    "/chapters/{number}/content",
    operation_id="get_chapter_audio",
    response_class=StreamingResponse,
    responses=AUDIO_RESPONSES,
)
async def chapter(
    request: Request,
    job: CompletedJob,
    number: ChapterNumber,
    services: ServicesDep,
) -> Response:
    """Return a chapter's audio, if the job was sent with `chapter_files`."""
    if not job.spec.chapter_files:
        raise ObjectNotFound("send the job with chapter_files: true for this", param="number")
    if number > (count := len(job.outline.chapters)):
        raise ObjectNotFound(f"the job has {count} chapters", param="number")
    key = chapter_key(_key(job), number)
    stored = Stored(key, services.storage, services.storage_threads)
    title = job.outline.chapters[number - 1].title if number else job.outline.title
    name = f"{number:0{len(str(count))}} {title or ''}".strip()
    return await _send(request, stored, job.spec.response_format, name)


@router.get(
    "/timings",
    operation_id="get_job_timings",
    response_class=Response,
    responses={200: {"model": Timings}, **NOT_READY},
)
async def timings(job: CompletedJob, services: ServicesDep) -> Response:
    """Return which segment, and which part of the input, is heard when."""
    stored_timings = await _timings(job, services.storage, services.storage_threads)
    return Response(stored_timings, media_type="application/json")


@router.get(
    "/subtitles",
    operation_id="get_job_subtitles",
    response_class=Response,
    responses={
        200: {"content": {media_type: TEXT for _, media_type in SUBTITLE_WRITERS.values()}},
        **NOT_READY,
    },
)
async def subtitles(
    job: CompletedJob, services: ServicesDep, format: SubtitleFormat = "vtt"
) -> Response:
    """Return the text as subtitles of the audio."""
    write, media_type = SUBTITLE_WRITERS[format]
    stored_timings = await _timings(job, services.storage, services.storage_threads)

    def written() -> str:
        return write(Timings.model_validate_json(stored_timings))

    return Response(await run_in_threadpool(written), media_type=media_type)


async def _timings(job: Job, storage: Storage, threads: LimitedThreads) -> bytes:
    return await threads.run(storage.get, timings_key(_key(job)))


def _key(job: Job) -> str:
    assert job.result_key is not None
    return job.result_key


async def _send(request: Request, stored: Stored, kind: Format, name: str) -> Response:
    return await stored_response(request, stored, media_type=kind.media_type, name=f"{name}.{kind}")
