"""Stored objects as answers: whole, in part, or not at all if the client has them (RFC 9110)."""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from api.http import errors
from api.http.limited_threads import LimitedThreads
from shared.errors import QueueError, Unavailable
from shared.storage import Storage, StoredObject, pieces

# Pauses between the attempts to read a piece of a download that has begun.
RETRY_PAUSES_S = (0.5, 2.0)
_log = logging.getLogger(__name__)
# Control characters, and those that Windows refuses in names.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f"*/:<>?\\|\ud800-\udfff]')
MAX_NAME_CHARS = 100
# Possessive: two runs of spaces side by side would be shared out in every way there is.
_RANGE = re.compile(r"\s*+bytes\s*+=\s*+(\d{0,18})\s*+-\s*+(\d{0,18})\s*+", re.I)


class Span(NamedTuple):
    """Bytes from `start` to before `end`."""

    start: int
    end: int


class Stored(NamedTuple):
    """An object, and the threads that wait for it."""

    key: str
    storage: Storage
    threads: LimitedThreads

    async def look(self) -> StoredObject:
        """Its size and tag; raises `ObjectNotFound`."""
        return await self.threads.run(self.storage.look, self.key)

    async def read(self, start: int, end: int) -> bytes:
        """Its bytes from `start` to before `end`."""
        return await self.threads.run(self.storage.read, self.key, start, end)


class StoredResponse(StreamingResponse):
    """A body sent piece by piece, and broken off if the storage fails in the middle.

    Less is sent than `Content-Length` says, so that no client takes a part for the whole.
    """

    async def stream_response(self, send: Send) -> None:
        """Send the headers and the pieces."""
        try:
            await super().stream_response(send)
        except QueueError as error:
            # The server closes a connection whose answer is not complete.
            _log.warning("A download is broken off: %s", error)


def attachment(name: str) -> str:
    """The Content-Disposition of a download under a name, such as `The Lamp: 1.m4b` (RFC 6266).

    Characters that file systems refuse become spaces; a name that is not ASCII is sent in both
    forms.
    """
    stem, dot, suffix = name.rpartition(".")
    plain = " ".join(_UNSAFE.sub(" ", stem).split()).strip(". ")[:MAX_NAME_CHARS].strip()
    safe = f"{plain or 'audio'}{dot}{suffix}"
    simple = unicodedata.normalize("NFKD", safe).encode("ascii", "ignore").decode()
    if simple == safe:
        return f'attachment; filename="{safe}"'
    simple = f"audio{simple}" if simple.startswith(".") else simple
    return f"attachment; filename=\"{simple}\"; filename*=UTF-8''{quote(safe, safe='')}"


async def stored_response(
    request: Request, content: Stored, *, media_type: str, name: str
) -> Response:
    """The answer with an object, or the part of it that was asked for.

    Several parts at once are answered with the whole, as the RFC allows. Raises `ObjectNotFound`
    and `Unavailable`, unless the first piece could be read.
    """
    found = await content.look()
    size, etag = found.size_bytes, f'"{found.etag.strip(chr(34))}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if etag_matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    span = _span(request, etag, size)
    if span is not None and span.start >= span.end:
        said = f"the file has {size:,} bytes"
        extra = {"Content-Range": f"bytes */{size}"}
        return errors.response(416, said, "range_not_satisfiable", "Range", **extra)
    start, end = span or (0, size)
    headers |= {
        "Content-Length": str(end - start),
        "Content-Disposition": attachment(name),
    }
    if span:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if span else 200
    if request.method == "HEAD" or not size:
        return Response(None, status, headers, media_type)
    first, *others = pieces(start, end)
    begun = await content.read(*first)
    return StoredResponse(_content(begun, content, others), status, headers, media_type)


async def _content(
    begun: bytes, content: Stored, others: list[tuple[int, int]]
) -> AsyncIterator[bytes]:
    yield begun
    for piece in others:
        yield await _read(content, piece)


async def _read(content: Stored, piece: tuple[int, int]) -> bytes:
    """A later piece, retried twice while the storage is away."""
    for pause_s in RETRY_PAUSES_S:
        try:
            return await content.read(*piece)
        except Unavailable:
            await asyncio.sleep(pause_s)
    return await content.read(*piece)


def _span(request: Request, etag: str, size: int) -> Span | None:
    """The part that is asked for; None for the whole, an empty one if it is out of range."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if found is None or request.method != "GET" or condition not in (None, etag):
        return None
    first, last = found.groups()
    if not first:
        return Span(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None  # not a valid range, and to be ignored
    return Span(int(first), min(size, int(last) + 1) if last else size)


def etag_matches(condition: str | None, etag: str) -> bool:
    """True if an `If-None-Match` says that the client has the object of that ETag."""
    if condition is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return etag in tags or "*" in tags
