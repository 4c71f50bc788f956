"""Authentication: dependencies that give a route its caller, if the key has the scope."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from api.auth.caller import Caller
from api.auth.token import token_of
from api.http.access_log import add_to_log
from api.http.headers import idempotency_key
from api.http.proxy import SENT_HOST
from api.services import services_of
from shared.errors import Forbidden, Unauthenticated, Unavailable
from shared.jobs import PUBLIC
from shared.settings import Settings
from shared.store.api_keys import ApiKey, ApiKeys, KeyTable, Scope

# Domains for private networks and tests (RFC 2606, 6761, 6762, 8375; ICANN's `.internal`), in which
# no stranger can register a name. Docker's `host.docker.internal` is one.
RESERVED_DOMAINS = (".internal", ".local", ".home.arpa", ".localhost", ".test")
# The owner, for the limit of requests, of all clients without a key: no owner has such a name.
ANONYMOUS = "*"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class RequireScope(HTTPBearer):
    """Reads the key of a request before its body; gives the caller, if the key has the scope.

    Raises `Unauthenticated`, `Forbidden` or `TooManyRequests`. It is FastAPI's security scheme and
    the check in one, since each dependency costs every request time.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            auto_error=False,
            scheme_name="key",
            description="A key of `narrate keys create`, also as `X-API-Key`; none is asked for "
            "until there is one.",
        )
        self._scope = scope

    # FastAPI hands on whatever a scheme returns: here the caller, not the bare credentials.
    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]
        """The caller of this request."""
        services = services_of(request)
        table = services.keys.fresh
        if table is None:
            table = await self._look(services.keys)
        if services.settings.auth != "required" and not table.required:
            _refuse_foreign_pages(request, services.settings)
            add_to_log(owner=PUBLIC)
            return Caller(PUBLIC)
        key = _key(token_of(request), table)
        add_to_log(owner=key.owner, key=key.id)
        services.rate_limit.take(key.owner)
        if self._scope not in key.all_scopes:
            has = ", ".join(key.all_scopes)
            raise Forbidden(f"this key lacks the scope {str(self._scope)!r}: it has {has}")
        return Caller(key.owner, key)

    async def _look(self, keys: ApiKeys) -> KeyTable:
        """The table, read again; raises `Unavailable`."""
        return await run_in_threadpool(keys.look)


class RequireReadUnlessPublic(RequireScope):
    """Lets requests without any key read public lists, if `TTS_PUBLIC_LISTS` says so."""

    async def __call__(self, request: Request) -> Caller | None:  # type: ignore[override]  # as in `RequireScope`
        """The caller; None for a client without a key, which sees nothing of any owner."""
        try:
            return await super().__call__(request)
        except Unauthenticated:
            services = services_of(request)
            if not services.settings.public_lists or token_of(request):
                raise
            services.rate_limit.take(ANONYMOUS)
            return None


class RequireMetricsScope(RequireScope):
    """Lets every request read the metrics, if `TTS_METRICS` is `open`.

    While Redis is away, the keys that were read last hold: it is the metrics that say so.
    """

    async def __call__(self, request: Request) -> Caller | None:  # type: ignore[override]  # as in `RequireScope`
        """The caller; None if no key is asked for."""
        if services_of(request).settings.metrics == "open":
            return None
        return await super().__call__(request)

    async def _look(self, keys: ApiKeys) -> KeyTable:
        try:
            return await super()._look(keys)
        except Unavailable:
            if keys.last is None:
                raise
            return keys.last


class RequireScopeIdempotent(RequireScope):
    """Reads the `Idempotency-Key`, too."""

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # as in `RequireScope`
        """The caller with its `Idempotency-Key`; raises `InvalidRequest` if that is too long."""
        caller, key = await super().__call__(request), idempotency_key(request)
        return caller.once(f"key:{key}") if key else caller


# Single objects: FastAPI runs each once a request, however many dependencies name it.
READER = Depends(RequireScope(Scope.READ))
SUBMITTER = Depends(RequireScope(Scope.SPEAK))
IDEMPOTENT_SUBMITTER = Depends(RequireScopeIdempotent(Scope.SPEAK))
CanRead = Annotated[Caller, READER]
CanList = Annotated[Caller | None, Depends(RequireReadUnlessPublic(Scope.READ))]
CanReadMetrics = Annotated[Caller | None, Depends(RequireMetricsScope(Scope.METRICS))]
CanSubmit = Annotated[Caller, SUBMITTER]
CanEditVoices = Annotated[Caller, Depends(RequireScope(Scope.VOICES))]
Submitter = Annotated[Caller, IDEMPOTENT_SUBMITTER]


def _listener(authenticated: Any) -> Any:
    """A dependency: the caller counts as a listener until the answer has been sent.

    It raises `TooManyListeners`.
    """

    async def listen(request: Request, caller: Caller = authenticated) -> AsyncIterator[None]:
        with services_of(request).listener_limit.listening(caller.tenant):
            yield

    return Depends(listen)


READ_LISTENER = _listener(READER)
SUBMIT_LISTENER = _listener(SUBMITTER)
SUBMITTER_LISTENER = _listener(IDEMPOTENT_SUBMITTER)


def _key(token: str, table: KeyTable) -> ApiKey:
    if not token:
        raise Unauthenticated("send a key: Authorization: Bearer tts_…, or X-API-Key: tts_…")
    key = table.find(token)
    if key is None:
        if (known := table.id_of(token)) is not None:
            add_to_log(key=known)
        raise Unauthenticated("this key is not known here, or was revoked")
    return key


def _refuse_foreign_pages(request: Request, settings: Settings) -> None:
    """Refuse cross-site writes (CSRF) and unknown hosts on an open server.

    An unknown `Host` is a foreign name that resolves to this server (DNS rebinding).
    """
    host = request.headers.get("host", "")
    # Both names count: a page can send any `X-Forwarded-Host` to a name of its own.
    for name in (host, request.scope.get(SENT_HOST, host)):
        if not _is_known(name, settings.hosts):
            raise Forbidden(
                f"without keys, the server does not answer to the name {name[:100]!r}: its "
                "operator can add it to TTS_HOSTS, or make a key"
            )
    origin = request.headers.get("origin")
    if origin is not None and origin in settings.allowed_origins:
        return
    is_cross_site = origin is not None and origin.partition("://")[2] != host
    is_cross_site |= request.headers.get("sec-fetch-site") == "cross-site"
    if is_cross_site and request.method not in SAFE_METHODS:
        raise Forbidden(
            "a page of elsewhere may send nothing to a server without keys: its operator can add "
            f"the page's origin{f' {origin[:200]!r}' if origin else ''} to TTS_CORS_ORIGINS"
        )


@lru_cache(1_024)
def _is_known(host: str, hosts: str) -> bool:
    """True if a host is in `hosts`, or is one that no stranger can register.

    These are IP addresses, names without a dot, and names under `RESERVED_DOMAINS`.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
        if "." not in name or name.endswith(RESERVED_DOMAINS) or name in hosts.lower().split():
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
