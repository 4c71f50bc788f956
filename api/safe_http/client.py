"""An HTTP client for URLs that clients of the API name."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

import httpcore
import httpx

from api.safe_http.addresses import is_public, parse_url, resolve
from shared.errors import FetchFailed

# A host with more addresses is tried at these.
MAX_ADDRESSES = 4
# The authorities that httpx trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. Read once.
_default_tls = cache(httpx.create_ssl_context)
_ERRORS = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)

# The addresses of a host; raises `OSError` or `UnicodeError` if there are none.
Resolver = Callable[[str, int], list[str]]


class Response(NamedTuple):
    """The head of a response, header names in small letters, and its body, not read yet."""

    status: int
    headers: dict[str, str]
    body: AsyncIterator[bytes]


class SafeClient:
    """Sends requests to public addresses, or to any if `allow_private`.

    No redirects, no proxies, no cookies, no connections kept. A body is read as it is sent, so
    that nothing grows when it is unpacked.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        resolve: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._tls = tls

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        within_s: float,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> AsyncIterator[Response]:
        """Send a request; it and all that is read of its response take `within_s` seconds in all.

        Raises `InvalidRequest` for a URL that is not used, or `FetchFailed`.
        """
        target = parse_url(url, allow_private=self._allow_private, param="url")
        fields = {"Host": target.netloc.decode(), "User-Agent": "qwen-tts-queue", **(headers or {})}
        ends_at = asyncio.get_running_loop().time() + within_s
        backend = _CheckedBackend(self._resolve, ends_at, allow_private=self._allow_private)
        host = target.raw_host.decode()
        # The parts as they were checked, so that httpcore does not parse the URL again.
        checked = httpcore.URL(
            scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
        )
        deadline = asyncio.timeout_at(ends_at)
        try:
            async with (
                deadline,
                httpcore.AsyncConnectionPool(
                    self._tls or _default_tls(), network_backend=backend
                ) as pool,
                pool.stream(
                    method, checked, headers=list(fields.items()), content=content
                ) as response,
            ):
                received = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in response.headers
                }
                yield Response(response.status, received, response.aiter_stream())
        except TimeoutError as error:
            if not deadline.expired():
                raise
            said = f"took more than {within_s:g} s"
            raise FetchFailed(f"{host} gave no answer: {said}") from error
        except _ERRORS as error:
            said = str(error) or type(error).__name__
            raise FetchFailed(f"{host} gave no answer: {said}") from error

    async def fetch(self, url: str, max_bytes: int, within_s: float) -> bytes:
        """The content at a URL.

        Raises `InvalidRequest` for a URL that is not used, or `FetchFailed`: it could not be had,
        is larger than `max_bytes`, or took more than `within_s` seconds.
        """
        async with self.request("GET", url, within_s=within_s) as response:
            if response.status != 200:
                raise FetchFailed(f"the URL answers with status {response.status}, not with 200")
            content = bytearray()
            async for part in response.body:
                content += part
                if len(content) > max_bytes:
                    raise FetchFailed(f"what lies at the URL is larger than {max_bytes:,} bytes")
        return bytes(content)


class _CheckedBackend(httpcore.AnyIOBackend):
    """Connects httpcore to addresses that were checked.

    A host is resolved once, all of its addresses must be public unless `allow_private`, and the
    connection goes to one of these very addresses. So a name that is given another address after
    the check gains nothing.
    """

    def __init__(self, resolve: Resolver, ends_at: float, *, allow_private: bool) -> None:
        self._resolve = resolve
        self._ends_at = ends_at
        self._allow_private = allow_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline covers all steps
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers; each may take its share of the time left."""
        addresses = await self._look_up(host, port)
        if not addresses or not (self._allow_private or all(map(is_public, addresses))):
            # One error for both, so that clients cannot learn which names exist inside.
            raise httpcore.ConnectError("no host of this name has only public addresses")
        addresses = addresses[:MAX_ADDRESSES]
        loop = asyncio.get_running_loop()
        for tried, address in enumerate(addresses):
            share_s = (self._ends_at - loop.time()) / (len(addresses) - tried)
            try:
                return await super().connect_tcp(
                    address, port, share_s, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        raise refused

    async def _look_up(self, host: str, port: int) -> list[str]:
        """Resolve a host in a thread of its own, which is left behind when the time is over.

        A look-up that hangs so takes no thread from other calls. Its thread is a daemon, which the
        process does not wait for when it ends.
        """
        found: Future[list[str]] = Future()
        found.set_running_or_notify_cancel()  # so that its result can be set after the time is over

        def resolve() -> None:
            try:
                found.set_result(self._resolve(host, port))
            except Exception as error:  # noqa: BLE001 - it is raised where the look-up is awaited
                found.set_exception(error)

        threading.Thread(target=resolve, name="look-up", daemon=True).start()
        try:
            return await asyncio.wrap_future(found)
        except (OSError, UnicodeError):
            return []
