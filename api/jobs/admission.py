"""From a request to an admitted job: every check that needs more than the request itself."""

from __future__ import annotations

import hashlib
import secrets
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass

from pydantic import BaseModel

from api.auth.caller import Caller
from api.http.access_log import request_id
from api.jobs.aliases import Aliases
from api.jobs.clone_source import CloneSource, CloneSources
from api.jobs.model_selection import select_model
from api.jobs.requests import JobRequest, VoiceClone, VoiceDesign
from api.jobs.submission import Submission, segments_of
from api.safe_http.addresses import parse_url
from shared import tracing
from shared.broker import WakeUpPublisher
from shared.document import Segment
from shared.errors import Busy, InvalidRequest, KeyReused, NotAdmitted, Unavailable
from shared.jobs import ChapterStart, Job, Origin, Outline, SpeechSpec, new_job_id
from shared.settings import Settings
from shared.storage import Storage
from shared.storage_paths import cover_key, job_folder, reference_key
from shared.store.ledger import Ledger, name_key
from shared.store.limits import Idempotency
from shared.store.webhooks import END_EVENTS, Webhook
from shared.store.workers import ServedModel

# Chapters are read with the job at each poll.
MAX_CHAPTERS = 2_000
# The fields of jobs and of speech that the version before lacks: each field that is added.
NEWER_FIELDS = frozenset(
    (
        *("notes", "images", "front_matter", "chapters", "normalise", "cover"),
        *("instruct", "temperature", "top_k", "top_p", "repetition_penalty"),
    )
)


@dataclass(frozen=True)
class CheckedJob:
    """A valid submission, with its segments and its model, which `live_workers` serve."""

    request: JobRequest
    spec: SpeechSpec
    segments: list[Segment]
    outline: Outline
    live_workers: int
    source: CloneSource | None = None
    cover: bytes | None = None
    live: BaseModel | None = None
    webhook: Webhook | None = None

    @property
    def has_files(self) -> bool:
        """True if its admission writes to the storage."""
        return self.source is not None or self.cover is not None


@dataclass(frozen=True)
class JobAdmission:
    """Checks submissions, and admits them to the ledger."""

    settings: Settings
    ledger: Ledger
    storage: Storage
    wake_ups: WakeUpPublisher
    clone_sources: CloneSources
    aliases: Aliases

    def check(self, sent: Submission, caller: Caller, served: list[ServedModel]) -> CheckedJob:
        """Check a submission against what is served; raises `InvalidRequest` or `Unavailable`."""
        request, source = self.aliases.apply(sent.request, served), None
        spec = select_model(request, served)
        segments = sent.segments or segments_of(request, sent.document, self.settings)
        if isinstance(request, VoiceClone):
            source = self.clone_sources.check(request, caller)
        if spec.seed is None and (sent.live or isinstance(request, VoiceDesign)):
            # A retry repeats what the listener has heard, and all segments have one voice.
            spec = spec.model_copy(update={"seed": secrets.randbits(32)})
        if sent.live:
            spec = spec.model_copy(update={"live": True})
        outline = _outline(sent, segments)
        if source is not None and source.warnings:
            outline = outline.model_copy(update={"warnings": (*outline.warnings, *source.warnings)})
        return CheckedJob(
            sent.request,
            spec,
            segments,
            outline=outline,
            live_workers=sum(each.workers for each in served if each.card.id == spec.model),
            source=source,
            cover=sent.document.details.cover,
            live=sent.live,
            webhook=_webhook(request, self.settings),
        )

    def admit(
        self,
        job: CheckedJob,
        caller: Caller,
        *,
        batch: str | None = None,
        name: str | None = None,
        cancel_after_s: float | None = None,
    ) -> Job:
        """Admit a job and wake the workers; a request that was sent before gives its job.

        `name` is the client's own id for it. Raises `Busy`, `KeyReused` or `Unavailable` if it
        cannot be queued now, and `InvalidRequest` if its voice was deleted in between.
        """
        job_id = new_job_id()
        origin = Origin(request=request_id() or None, traceparent=tracing.traceparent())
        try:
            with tracing.span("admit", tts__job=job_id, tts__segments=len(job.segments)):
                spec, outline, size_bytes = self._store_files(job, job_id)
                accepted = self.ledger.admit(
                    job_id,
                    spec,
                    job.segments,
                    outline=outline,
                    owner=caller.owner,
                    limits=caller.limits(self.settings),
                    idempotency=_idempotency(job.live or job.request, caller, name),
                    batch=batch,
                    name=name,
                    priority=job.request.priority,
                    cancel_after_s=cancel_after_s,
                    begin_within_s=self.settings.speech_wait_s if job.spec.live else None,
                    webhook=job.webhook and job.webhook.model_copy(update={"signer": caller.space}),
                    size_bytes=size_bytes,
                    origin=origin,
                )
        except (Busy, KeyReused, InvalidRequest, NotAdmitted):
            self._discard(job, job_id)
            raise
        if isinstance(accepted, str):
            self._discard(job, job_id)
            return self.ledger.job(accepted)
        # From here on, a failure of Redis must not fail an accepted job.
        self.wake_ups.publish(job.spec.model, len(job.segments))
        return accepted.model_copy(update={"live_workers": job.live_workers})

    def _store_files(self, job: CheckedJob, job_id: str) -> tuple[SpeechSpec, Outline, int]:
        """Store a job's recording and cover before a worker can claim it.

        Returns its spec and its outline with them, and the size of both.
        """
        spec, outline, size_bytes = job.spec, job.outline, 0
        if job.source is not None:
            stored, size_bytes = self.clone_sources.store(job.source, reference_key(job_id))
            spec = spec.model_copy(update={"reference": stored})
        if job.cover is not None:
            self.storage.put(cover_key(job_id), job.cover)
            outline = outline.model_copy(update={"cover": cover_key(job_id)})
            size_bytes += len(job.cover)
        return spec, outline, size_bytes

    def _discard(self, job: CheckedJob, job_id: str) -> None:
        """Remove the files of a job that was not admitted; a file too many does no harm."""
        if not job.has_files:
            return
        with suppress(Unavailable):
            self.storage.delete_folder(job_folder(job_id))


def _webhook(request: JobRequest, settings: Settings) -> Webhook | None:
    """Check a request's webhook, if it has one; its name is resolved when something is delivered.

    Raises `InvalidRequest`.
    """
    wanted = request.webhook_events_filter
    if request.webhook is None:
        if wanted is not None:
            raise InvalidRequest(
                "webhook_events_filter goes with webhook", param="webhook_events_filter"
            )
        return None
    if settings.webhook_targets == "off":
        raise InvalidRequest("webhooks are switched off on this server", param="webhook")
    allow_private = settings.webhook_targets == "any"
    url = parse_url(request.webhook, allow_private=allow_private, param="webhook")
    return Webhook(
        url=request.webhook,
        receiver=f"{url.scheme}://{url.netloc.decode('ascii')}",
        events=tuple(dict.fromkeys(wanted or END_EVENTS)),
    )


def _idempotency(request: BaseModel, caller: Caller, name: str | None) -> Idempotency | None:
    key = name_key(name) if name else caller.idempotency_key
    if key is None:
        return None
    # A request without newer fields keeps the hash that an earlier version gave it.
    unused = {
        name
        for name in NEWER_FIELDS & type(request).model_fields.keys()
        if getattr(request, name) == type(request).model_fields[name].default
    }
    body = hashlib.sha256(request.model_dump_json(exclude=unused).encode()).hexdigest()
    return Idempotency(key, body)


def _outline(sent: Submission, segments: list[Segment]) -> Outline:
    """Each chapter begins with the first segment that has some of it; empty ones are left out."""
    starts, book = [segment.start for segment in segments], sent.document
    starts[0] = segments[0].end - 1  # its range also has the unspoken characters before it
    chapters: dict[int, str] = {}
    for chapter in book.chapters:
        first = bisect_left(starts, chapter.start)
        if first < len(segments):
            chapters[first] = chapter.title
    if len(chapters) > MAX_CHAPTERS:
        raise InvalidRequest(
            f"the text has {len(chapters):,} chapters; the most is {MAX_CHAPTERS:,}: send it in "
            "parts",
            param="input",
        )
    return Outline(
        title=sent.request.title or book.title,
        author=sent.request.author or book.author,
        date=book.details.date,
        description=book.details.description,
        language=book.language,
        chapters=tuple(ChapterStart(title, first) for first, title in chapters.items()),
        warnings=book.warnings,
    )
