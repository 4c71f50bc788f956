"""The headers that every answer has, errors included, unless its route sets its own value."""

from __future__ import annotations

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    # The page at `/` has a stricter one; the description's page runs scripts of this server.
    (b"content-security-policy", b"frame-ancestors 'none'"),
    # No page of another site may embed what a browser of one of our users can fetch.
    (b"cross-origin-resource-policy", b"same-origin"),
)
Headers = list[tuple[bytes, bytes]]


def secured(headers: Headers) -> Headers:
    """The headers of an answer with those that are missing."""
    names = {name.lower() for name, _ in headers}
    return [*headers, *(header for header in SECURITY_HEADERS if header[0] not in names)]
