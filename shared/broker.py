"""Celery's Redis transport, for the publisher and the consumer alike.

It is imported at the start, so that a package that it lacks is missed then and not at a message.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError

from shared.store.redis_address import RedisAddress

TCP_ONLY_PARAMS = ("socket_keepalive", "socket_keepalive_options")


class Channel(redis.Channel):
    """A channel to the server of the transport option `address`, as redis-py connects to it.

    kombu's own reading of URLs knows other parameters than redis-py's, and with `rediss` it does
    not verify certificates unless told to.
    """

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        client: Any = self.connection.client
        address: RedisAddress = client.transport_options["address"]
        # The base of a class that kombu makes for each channel.
        self.connection_class = connection_class(address)
        params: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]  # not in the stubs
        left_out = TCP_ONLY_PARAMS if address.is_socket else ()
        kept = {name: value for name, value in params.items() if name not in left_out}
        return kept | address.options()


class Transport(redis.Transport):
    """The transport of publisher and consumer; its URL is for people, and holds no password."""

    Channel = Channel
    can_parse_url = True
    # After any error that Redis answers with, the connection is closed and opened anew: it may
    # lead to a server that is no primary any more. With kombu's own, a worker ends of it.
    connection_errors = (*redis.Transport.connection_errors, RedisError)


def connection_class(address: RedisAddress) -> type[Any]:
    """The redis-py connection for an address."""
    if address.is_socket:
        return UnixDomainSocketConnection
    return SSLConnection if address.is_tls else Connection
