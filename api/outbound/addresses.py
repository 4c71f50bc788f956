"""Which addresses are public, and which a name has."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# The addresses of a host; raises `OSError` or `UnicodeError` if there are none.
Resolver = Callable[[str, int], list[str]]

# All that is given out to networks, by IANA's registry of the IPv6 address space.
GLOBAL_UNICAST = IPv6Network("2000::/3")
# IPv4 in the last 32 bits: RFC 6052. IPv6-only networks reach every IPv4 host by these.
NAT64 = IPv6Network("64:ff9b::/96")
DOCUMENTATION = IPv6Network("3fff::/20")
# Protocol assignments (a cloud's metadata is served there), relays of 6to4, and the address at
# which Azure's machines find their host: tables of Python, or of IANA, take them for global.
NOT_PUBLIC = [IPv4Network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")]


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host, each once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_public(address: str) -> bool:
    """Whether anybody on the Internet would reach the same host under this address."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        within = _within(ip)
        if within is None:
            return _is_global_unicast(ip)
        ip = within
    private = ip.is_multicast or ip.is_reserved or any(ip in net for net in NOT_PUBLIC)
    return ip.is_global and not private


def _within(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address go to, if they do."""
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped


def _is_global_unicast(ip: IPv6Address) -> bool:
    """6to4 and Teredo, which lead to some IPv4 host by ways of old, are left out whole."""
    tunnel = ip.sixtofour is not None or ip.teredo is not None
    return ip in GLOBAL_UNICAST and ip.is_global and not tunnel and ip not in DOCUMENTATION


def literal(host: str) -> str | None:
    """The address that a host is written as, if it is one in any of the forms of C's `inet_aton`.

    `127.1`, `2130706433`, `0x7f.1` and `0177.0.0.1` are all 127.0.0.1.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
