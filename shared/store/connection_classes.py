"""The connections of redis-py, as redis-py's pools and kombu open them: always to a primary.

After an answer of a server that is no primary any more, a connection is opened anew: its name may
lead to the new primary by now. With Sentinels, each opening asks them for the primary.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis import asyncio as aio
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ClusterDownError, ReadOnlyError, ResponseError

from shared.store.primary import PrimaryFinder
from shared.store.redis_address import RedisAddress

# Answers of a server that is no primary any more; MASTERDOWN is a ClusterDownError, too.
DEMOTION_ERRORS = (ReadOnlyError, ClusterDownError)
# The answer of a primary that its replicas have left, and that `min-replicas-to-write` stops: they
# may follow another one by now.
LEFT_ALONE = "NOREPLICAS"


def connection(address: RedisAddress) -> dict[str, Any]:
    """The class of a connection to an address, and its arguments, as a pool takes them."""
    return _options(address, socket=_Socket, tcp=_Tcp, tls=_Tls, found=(_FoundTcp, _FoundTls))


def async_connection(address: RedisAddress) -> dict[str, Any]:
    """`connection` for asyncio."""
    return _options(
        address,
        socket=_AsyncSocket,
        tcp=_AsyncTcp,
        tls=_AsyncTls,
        found=(_AsyncFoundTcp, _AsyncFoundTls),
    )


def _options(
    address: RedisAddress,
    *,
    socket: type[Any],
    tcp: type[Any],
    tls: type[Any],
    found: tuple[type[Any], type[Any]],
) -> dict[str, Any]:
    if address.is_socket:
        return {"connection_class": socket, **address.options()}
    options = {"socket_keepalive": True, **address.options()}
    if address.sentinels:
        found_tcp, found_tls = found
        options["finder"] = PrimaryFinder(address)
        return {"connection_class": found_tls if address.is_tls else found_tcp, **options}
    return {"connection_class": tls if address.is_tls else tcp, **options}


def _is_demotion(error: ResponseError) -> bool:
    return isinstance(error, DEMOTION_ERRORS) or str(error).startswith(LEFT_ALONE)


class _LeavesReplicas:
    """A connection that is opened anew after an answer of a server that is no primary any more."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]  # of its sibling
        except ResponseError as error:
            if _is_demotion(error):
                self.mark_for_reconnect()  # type: ignore[attr-defined]  # of its sibling
            raise


class _FindsPrimary:
    """A connection that asks Sentinels where to connect to, each time that it is opened."""

    def __init__(self, *, finder: PrimaryFinder, **options: Any) -> None:
        super().__init__(**options)
        self._finder = finder

    def _connect(self) -> Any:
        self.host, self.port = self._finder.find()
        return super()._connect()  # type: ignore[misc]  # of its sibling


class _Tcp(_LeavesReplicas, Connection):
    pass


class _Tls(_LeavesReplicas, SSLConnection):
    pass


class _Socket(_LeavesReplicas, UnixDomainSocketConnection):
    pass


class _FoundTcp(_FindsPrimary, _Tcp):
    pass


class _FoundTls(_FindsPrimary, _Tls):
    pass


class _AsyncLeavesReplicas:
    """`_LeavesReplicas` for asyncio."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]  # of its sibling
        except ResponseError as error:
            if _is_demotion(error):
                self.mark_for_reconnect()  # type: ignore[attr-defined]  # of its sibling
            raise


class _AsyncFindsPrimary:
    """`_FindsPrimary` for asyncio."""

    def __init__(self, *, finder: PrimaryFinder, **options: Any) -> None:
        super().__init__(**options)
        self._finder = finder

    async def _connect(self) -> None:
        self.host, self.port = await asyncio.to_thread(self._finder.find)
        await super()._connect()  # type: ignore[misc]  # of its sibling


class _AsyncTcp(_AsyncLeavesReplicas, aio.Connection):
    pass


class _AsyncTls(_AsyncLeavesReplicas, aio.SSLConnection):
    pass


class _AsyncSocket(_AsyncLeavesReplicas, aio.UnixDomainSocketConnection):
    pass


class _AsyncFoundTcp(_AsyncFindsPrimary, _AsyncTcp):
    pass


class _AsyncFoundTls(_AsyncFindsPrimary, _AsyncTls):
    pass
