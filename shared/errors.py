"""One tree of errors for both sides; `api.http.errors` maps each to an HTTP status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class QueueError(Exception):
    """The root: `code` is stable and for programs, the message is for people."""

    code = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class BadRequest(QueueError):
    """The branch of requests that cannot be served as they are: 400."""


class NotFound(QueueError):
    """The branch of names that nothing has: 404."""


class Conflict(QueueError):
    """The branch of requests that the present state forbids: 409."""


class InvalidRequest(BadRequest):
    """Raised when a request cannot be served as it is; `param` names the field to change."""

    code = "invalid_value"


class LineError(NamedTuple):
    """A problem of a line of a batch, by the line's number from 1."""

    line: int
    message: str
    param: str | None
    code: str


class InvalidLines(InvalidRequest):
    """Raised when lines of a batch are wrong; the message is about the first of them."""

    def __init__(self, lines: Sequence[LineError]) -> None:
        first, others = lines[0], len(lines) - 1
        message = f"line {first.line}: {first.message}"
        if others:
            more = "1 more line is" if others == 1 else f"{others:,} more lines are"
            message += f" ({more} wrong)"
        where = f"line {first.line}"
        super().__init__(message, param=f"{where}: {first.param}" if first.param else where)
        self.lines = tuple(lines)


class NothingToSpeak(InvalidRequest):
    """Raised when a text has no letter and no digit."""


class TooComplex(InvalidRequest):
    """Raised when a text takes more CPU time to read or to split than a submission may have."""

    code = "input_too_complex"


class UnsupportedMedia(QueueError):
    """Raised when a body is of a type that the route does not read."""

    code = "unsupported_media_type"


class JobNotFound(NotFound):
    """Raised when there is no job of that id."""

    code = "job_not_found"


class BatchNotFound(NotFound):
    """Raised when there is no batch of that id."""

    code = "batch_not_found"


class WebhookNotFound(NotFound):
    """Raised when no webhook of that id was given up."""

    code = "webhook_not_found"


class VoiceNotFound(NotFound):
    """Raised when there is no voice of that id or name."""

    code = "voice_not_found"


class NameTaken(Conflict):
    """Raised when another voice has the name already."""

    code = "name_taken"


class TooManyVoices(Conflict):
    """Raised when an owner has as many voices as may be kept."""

    code = "too_many_voices"


class AudioDamaged(QueueError):
    """Raised when stored audio has changed or cannot be decoded."""

    code = "audio_damaged"


class TooLarge(QueueError):
    """Raised when a file has more bytes than are taken."""

    code = "body_too_large"


class KeyNotFound(NotFound):
    """Raised when there is no API key of that id."""

    code = "key_not_found"


class Unauthenticated(QueueError):
    """Raised when a request has no key, or one that is not known (any more)."""

    code = "invalid_api_key"


class Forbidden(QueueError):
    """Raised when a key lacks the scope, or when a server without keys refuses the request."""

    code = "forbidden"


class JobNotReady(Conflict):
    """Raised when a job's audio is asked for before it is there, or will never be."""

    code = "job_not_ready"


class ModelNotFound(NotFound):
    """Raised when no worker serves a model of that name, as OpenAI's API says it."""

    code = "model_not_found"


class ModelInUse(Conflict):
    """Raised when a model cannot be forgotten: a worker serves it, or segments wait for it."""

    code = "model_in_use"


class OtherWeights(Conflict):
    """Raised when a worker's weights are not those that a model's name stands for now."""

    code = "other_weights"


class SynthesisFailed(QueueError):
    """Raised to the listeners of a job that has failed; `code` is the job's own."""

    code = "synthesis_failed"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Unavailable(QueueError):
    """Raised when Redis, the storage or every worker is away; the same request may pass later."""

    code = "service_unavailable"


class Unconfirmed(Unavailable):
    """Raised when it is unknown whether the job `job_id` was accepted, since Redis is away."""

    def __init__(self, message: str, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class NotAdmitted(Unavailable):
    """Raised when no part of a request was accepted, for certain: it can be sent again."""


class StorageRefused(Unavailable):
    """Raised when the storage answers and refuses: credentials, permission or a missing bucket.

    Only an operator can change that: a retry rarely helps.
    """

    code = "storage_refused"


class Busy(QueueError):
    """Raised when a request would be too much now; it may pass after `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: int, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class LimitReached(Busy):
    """The branch of one owner's limits: 429."""


class Overloaded(Busy):
    """Raised when as many segments are open as the queue takes."""

    code = "queue_full"


class WaitTooLong(Busy):
    """Raised when speech at once would begin too late, by the pace of the queue."""

    code = "wait_too_long"


class SplitterBusy(Busy):
    """Raised when as many long texts wait to be split as may."""

    code = "splitter_busy"


class QuotaExceeded(LimitReached):
    """Raised when one owner has as much in the queue as it may."""

    code = "quota_exceeded"


class DayQuotaExceeded(QuotaExceeded):
    """Raised when one owner has used up a day's quota; tomorrow the request may pass."""

    code = "insufficient_quota"


class TooManyListeners(LimitReached):
    """Raised when as many answers are held open as may be, for the owner or in all."""

    code = "too_many_listeners"


class TooManyRequests(LimitReached):
    """Raised when an owner sends more requests a second than it may."""

    code = "rate_limit_exceeded"


class BodiesFull(Busy):
    """Raised when as many bytes of bodies are in memory as may be, for the owner or in all."""

    code = "too_many_bodies"


class KeyReused(Conflict):
    """Raised when an idempotency key comes with another request than before."""

    code = "idempotency_key_reused"


class StaleClaim(QueueError):
    """Raised when a worker reports on a segment that is no longer its own; its work is dropped."""

    code = "stale_claim"


class ObjectNotFound(NotFound):
    """Raised when the storage holds nothing under a key."""

    code = "object_not_found"


class FetchFailed(BadRequest):
    """Raised when a URL that a client named gives nothing that can be used, or not in time."""

    code = "fetch_failed"


class Misconfigured(QueueError):
    """Raised when what the settings name cannot be worked with; says what to do."""

    code = "misconfigured"


class InvalidSetting(QueueError):
    """Raised when a setting is unknown or out of range; names it and says what is allowed."""

    code = "invalid_setting"


class NotRetriable(Conflict):
    """Raised when a job is to be retried that has not failed, or whose files are gone."""

    code = "not_retriable"


class JobEnded(Conflict):
    """Raised when a job that has ended is to be changed."""

    code = "job_ended"


class NotRunning(Conflict):
    """Raised when a segment is to be taken from its worker that no worker holds."""

    code = "not_running"


class WorkerNotFound(NotFound):
    """Raised when there is no live worker of that id, or one that cannot be told anything."""

    code = "worker_not_found"
