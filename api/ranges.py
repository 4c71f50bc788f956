"""Stored objects as answers: whole, in part, or not at all if the client has them (RFC 9110)."""

from __future__ import annotations

import re
from typing import NamedTuple

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api import errors
from shared.storage import Storage

# Possessive: two runs of spaces side by side would be shared out in every way there is.
_RANGE = re.compile(r"\s*+bytes\s*+=\s*+(\d{0,18})\s*+-\s*+(\d{0,18})\s*+", re.I)


class Span(NamedTuple):
    """Bytes from `start` to before `end`."""

    start: int
    end: int


def send(request: Request, key: str, storage: Storage, *, media_type: str, name: str) -> Response:
    """Answer with an object, or the part of it that was asked for.

    Several parts at once are answered with the whole, as the RFC allows. Raises `ObjectNotFound`.
    """
    found = storage.look(key)
    size, etag = found.size_bytes, f'"{found.etag.strip(chr(34))}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if has(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    span = _span(request, etag, size)
    if span is not None and span.start >= span.end:
        said = f"the file has {size:,} bytes"
        told = {"Content-Range": f"bytes */{size}"}
        return errors.response(416, said, "range_not_satisfiable", "Range", **told)
    start, end = span or (0, size)
    headers |= {
        "Content-Length": str(end - start),
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    if span:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if span else 200
    if request.method == "HEAD" or not size:
        return Response(None, status, headers, media_type)
    return StreamingResponse(storage.open_read(key, start, end), status, headers, media_type)


def _span(request: Request, etag: str, size: int) -> Span | None:
    """The part that is asked for; None: the whole. An empty one cannot be had."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if found is None or request.method != "GET" or condition not in (None, etag):
        return None
    first, last = found.groups()
    if not first:
        return Span(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None  # no range at all, and to be passed over
    return Span(int(first), min(size, int(last) + 1) if last else size)


def has(condition: str | None, etag: str) -> bool:
    """Whether an `If-None-Match` says that the client has it."""
    if condition is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return etag in tags or "*" in tags
