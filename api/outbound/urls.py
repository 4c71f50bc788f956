"""What a URL must be like for a request to be sent there."""

from __future__ import annotations

import re

import httpx

from api.outbound.addresses import is_public, literal
from shared.errors import InvalidRequest

LONGEST_HOST = 253
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*")


def parse(url: str, *, private: bool, param: str) -> httpx.URL:
    """Read an http(s) URL; `private` says whether hosts that are not public are allowed.

    Names are not resolved yet. Raises `InvalidRequest` about `param`.
    """
    try:
        return _parsed(url, private=private)
    except ValueError as error:
        raise InvalidRequest(f"{param}: {error}", param=param) from None


def _parsed(url: str, *, private: bool) -> httpx.URL:
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"this is no URL: {error}") from None
    if read.scheme not in ("http", "https"):
        raise ValueError("a URL that begins with https:// or http:// is wanted")
    if read.userinfo:
        raise ValueError("a URL with a user or a password in it is not used")
    if read.port is not None and not 0 < read.port < 65_536:
        raise ValueError("a port is a number from 1 to 65535")
    host = read.raw_host.decode("ascii")
    _check_host(host)
    if not private and not _may_be_public(host):
        raise ValueError(f"{host} is not a public address")
    return read


def _check_host(host: str) -> None:
    if literal(host) is None and (len(host) > LONGEST_HOST or not _NAME.fullmatch(host)):
        raise ValueError("there is no host in the URL, or none that is written as hosts are")


def _may_be_public(host: str) -> bool:
    """A name may be; those of RFC 6761 for the machine itself never are."""
    address = literal(host)
    if address is not None:
        return is_public(address)
    return host != "localhost" and not host.endswith(".localhost")
