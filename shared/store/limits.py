"""The limits of what may be accepted, for an owner and in all."""

from __future__ import annotations

from typing import NamedTuple

from shared.errors import (
    DayQuotaExceeded,
    KeyReused,
    Overloaded,
    QueueError,
    QuotaExceeded,
    WaitTooLong,
)

NO_LIMIT = 10**12
# The least that a segment counts: even a short one costs the queue and the model time.
MIN_SEGMENT_CHARS = 20


class Limits(NamedTuple):
    """The most open segments in all; open jobs, characters, segments and bytes of one owner.

    `day_chars` may be accepted of an owner, and `day_audio_s` seconds of audio, in a day of UTC. A
    segment counts at least `MIN_SEGMENT_CHARS`; bytes are those of recordings to be cloned.
    """

    open_segments: int = NO_LIMIT
    owner_jobs: int = NO_LIMIT
    owner_chars: int = NO_LIMIT
    owner_segments: int = NO_LIMIT
    owner_bytes: int = NO_LIMIT
    day_chars: int = NO_LIMIT
    day_audio_s: int = NO_LIMIT


UNLIMITED = Limits()


class Idempotency(NamedTuple):
    """A client's key for a request, and the hash that tells other requests under it apart."""

    idempotency: str
    fingerprint: str


def refusal(outcome: str, detail: str | int, limits: Limits) -> QueueError:
    """The error for an outcome of `admit`; `detail` is seconds to wait, or the earlier job's id."""
    match outcome:
        case "queue_full":
            return Overloaded("the queue is full; try again later", retry_after_s=int(detail))
        case "too_late":
            return WaitTooLong(
                "so much waits that speech at once would begin too late (TTS_SPEECH_WAIT_S): try "
                "again later, or send the text to /v1/jobs",
                retry_after_s=int(detail),
            )
        case "too_many_jobs":
            said = f"you have {limits.owner_jobs:,} jobs that have not ended, which is the most"
            return QuotaExceeded(f"{said}; wait for some to end", retry_after_s=int(detail))
        case "too_many_chars":
            said = f"more than {limits.owner_chars:,} characters of yours would be waiting"
            return QuotaExceeded(f"{said}; wait for some to be spoken", retry_after_s=int(detail))
        case "too_many_segments":
            said = f"more than {limits.owner_segments:,} segments of yours would be waiting"
            return QuotaExceeded(f"{said}; wait for some to be spoken", retry_after_s=int(detail))
        case "too_many_bytes":
            said = f"more than {limits.owner_bytes:,} bytes of recordings of yours would be waiting"
            return QuotaExceeded(f"{said}; wait for some jobs to end", retry_after_s=int(detail))
        case "day_chars":
            said = f"more than your {limits.day_chars:,} characters a day"
            return DayQuotaExceeded(f"{said}; the next day begins at 0:00 UTC", retry_after_s=120)
        case "day_audio_s":
            said = f"this would be more than your {limits.day_audio_s:,} seconds of audio a day"
            return DayQuotaExceeded(f"{said}; the next day begins at 0:00 UTC", retry_after_s=120)
        case "too_long":
            said = f"this alone takes more than your {limits.day_audio_s:,} seconds of audio a day"
            return DayQuotaExceeded(f"{said}; send it in parts", retry_after_s=120)
        case "reused":
            return KeyReused(
                "another request came with this id or key before: use another one for this",
                param="Idempotency-Key",
            )
    raise AssertionError(outcome)
