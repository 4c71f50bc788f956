"""Decoding of a page's bytes, by its byte order mark or its declaration."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from api.documents.errors import unreadable

# Encodings by the first bytes: a byte order mark, or the zero byte beside the first "<".
ENCODING_MARKS = (
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
DECLARED_ENCODING = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
DECLARED_WITHIN_BYTES = 1_024
# Python codecs for pages; other codecs unpack archives, or take quadratic time.
PAGE_CODECS = ("ascii", "big5", "cp", "euc", "gb", "iso8859", "koi8", "mac", "shift_jis", "utf-8")


def decode_page(chunks: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the text of the page `name`, decoded by the encoding that it declares, else as UTF-8.

    Raises `InvalidRequest` if it is not in that encoding.
    """
    decoder = None
    try:
        for chunk in chunks:
            decoder = decoder or codecs.getincrementaldecoder(_encoding(chunk))()
            yield decoder.decode(chunk)
        if decoder:
            yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise unreadable(
            f"{name!r} in the book is not {error.encoding.upper()}, as it should be: "
            "export the book again"
        ) from None


def _encoding(start: bytes) -> str:
    for mark, encoding in ENCODING_MARKS:
        if start.startswith(mark):
            return encoding
    if declared := DECLARED_ENCODING.search(start[:DECLARED_WITHIN_BYTES]):
        try:
            encoding = codecs.lookup(declared[1].decode("ascii")).name
        except LookupError:
            encoding = ""
        if encoding.startswith(PAGE_CODECS):
            return "utf-8-sig" if encoding == "utf-8" else encoding
    return "utf-8-sig"
