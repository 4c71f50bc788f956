"""From a text that was sent to its segments, within bounds."""

from __future__ import annotations

from api.jobs.requests import JobRequest
from shared.cpu_limit import cpu_limit
from shared.document import Document, Segment
from shared.errors import InvalidRequest
from shared.settings import Settings
from shared.text import split


def segments_of(request: JobRequest, document: Document, settings: Settings) -> list[Segment]:
    """The segments of a request's text.

    Raises `InvalidRequest` if there are none or too many, and `TooComplex` if it takes too long.
    """
    language = request.language.lower()
    if language == "auto":
        language = document.language or language
    # More than an owner, or the queue, may have open at all could never be admitted.
    most = min(settings.max_segments, settings.max_owner_segments, settings.max_open_segments)
    with cpu_limit(settings.max_split_cpu_s):
        segments = split(
            document.text,
            language,
            settings.max_segment_chars,
            chapters=document.chapters,
            most=most,
        )
    if not segments:
        raise InvalidRequest("the input has nothing to speak in it", param="input")
    return segments
