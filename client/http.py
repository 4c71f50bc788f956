"""The HTTP connection to a server. Every failure becomes an error of `client.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Self

import httpx

from client.errors import NarrateError, RequestRefused, ServerUnreachable


class Connection:
    """A pooled connection to `base_url`, which sends `key` with each request.

    Raises NarrateError if `base_url` is no HTTP address, or the key is none.
    """

    def __init__(self, base_url: str, timeout_s: float, key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        key = _checked(key)
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0)),
            trust_env=not _is_loopback(self.base_url),
            follow_redirects=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled sockets."""
        self._client.close()

    @contextmanager
    def stream(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """Yield a 2xx response with an unread body.

        Raises RequestRefused for any other status. Raises ServerUnreachable if there is no answer
        or the connection breaks while the body is read inside the `with`.
        """
        try:
            with self._client.stream(method, self.base_url + path, **request) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(response)
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServerUnreachable(
                f"no server at {self.base_url}: start one with `narrate up`"
            ) from error
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"the server at {self.base_url} does not answer") from error
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"lost the server at {self.base_url}: {error}") from error

    def json(self, method: str, path: str, **request: Any) -> Any:
        """The decoded answer. Raises NarrateError if it is not JSON, else as `stream` does."""
        with self.stream(method, path, **request) as response:
            response.read()
        try:
            return response.json()
        except (ValueError, RecursionError) as error:
            raise NarrateError(f"{self.base_url} answers, but is no narration server") from error


def _checked(key: str | None) -> str | None:
    """The key without spaces around it, such as the line break of a file that it was read from.

    Raises NarrateError, which does not repeat it, if no header can hold it.
    """
    key = key.strip() if key else None
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise NarrateError("the key is none of `narrate keys create`: look at NARRATE_KEY")
    return key


def _is_loopback(url: str) -> bool:
    """True if the server is on this machine: it is reached without the environment's proxy."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise NarrateError(f"not a server's address: {url}") from error
    if parts.scheme not in ("http", "https") or not parts.host:
        raise NarrateError(f"not a server's address: {url} (expected http://HOST:PORT)")
    try:
        return parts.host == "localhost" or ip_address(parts.host).is_loopback
    except ValueError:
        return False


def _refusal(response: httpx.Response) -> RequestRefused:
    try:
        error = response.json()["error"]
        message, param, code = error["message"], error.get("param"), error.get("code")
        lines = [f"line {each['line']}: {each['message']}" for each in error.get("lines") or ()]
    except (ValueError, KeyError, TypeError, AttributeError):
        message, param, code = f"HTTP {response.status_code} {response.reason_phrase}", None, None
        lines = []
    seconds = response.headers.get("retry-after", "")
    return RequestRefused(
        message,
        status=response.status_code,
        param=param,
        code=code,
        retry_after_s=float(seconds) if seconds.isdecimal() else None,
        lines=lines,
    )
