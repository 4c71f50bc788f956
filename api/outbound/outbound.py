"""Sending a request to a URL that a client named, and fetching what lies there."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import httpcore
import httpx

from api.outbound.addresses import Resolver, resolve
from api.outbound.connection import Deadline, GuardedBackend
from api.outbound.urls import parse
from shared.errors import FetchFailed

_WRONG = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class Answer(NamedTuple):
    """The head of an answer, header names in small letters, and its body, not read yet."""

    status: int
    headers: dict[str, str]
    body: Iterator[bytes]


class Outbound:
    """Sends requests to public places, or anywhere if `private`; safe to share between threads.

    No redirects, no proxies, no cookies, no connections kept; a body is as it is sent, so that
    nothing grows when it is unpacked.
    """

    def __init__(
        self,
        *,
        private: bool,
        resolve: Resolver = resolve,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        self._private = private
        self._resolve = resolve
        self._trusted = trusted

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        *,
        within_s: float,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> Iterator[Answer]:
        """Send a request; it and all that is read of its answer take `within_s` seconds in all.

        Raises `InvalidRequest` for a URL that is not used, or `FetchFailed`.
        """
        target = parse(url, private=self._private, param="url")
        backend = GuardedBackend(self._resolve, Deadline(within_s), private=self._private)
        trusted = self._trusted or _trusted()
        fields = {"Host": target.netloc.decode(), "User-Agent": "qwen-tts-queue", **(headers or {})}
        try:
            with (
                httpcore.ConnectionPool(trusted, network_backend=backend) as pool,
                pool.stream(
                    method, _read_once(target), headers=list(fields.items()), content=content
                ) as response,
            ):
                yield _answer(response)
        except _WRONG as error:
            said = str(error) or type(error).__name__
            raise FetchFailed(f"{target.raw_host.decode()} gave no answer: {said}") from error

    def fetch(self, url: str, max_bytes: int, within_s: float) -> bytes:
        """Return what lies at a URL.

        Raises `InvalidRequest` for a URL that is not used, or `FetchFailed`: it could not be had,
        is larger than `max_bytes`, or took more than `within_s` seconds.
        """
        with self.request("GET", url, within_s=within_s) as answer:
            if answer.status != 200:
                raise FetchFailed(f"the URL answers with status {answer.status}, not with 200")
            content = bytearray()
            for part in answer.body:
                content += part
                if len(content) > max_bytes:
                    raise FetchFailed(f"what lies at the URL is larger than {max_bytes:,} bytes")
        return bytes(content)


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities that httpx trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others."""
    return httpx.create_ssl_context()


def _read_once(url: httpx.URL) -> httpcore.URL:
    """The parts as they were checked, which nobody reads in another way then."""
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _answer(response: httpcore.Response) -> Answer:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }
    return Answer(response.status, headers, response.iter_stream())
