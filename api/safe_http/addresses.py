"""Public addresses, and the URLs that a request may be sent to."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from shared.errors import InvalidRequest

MAX_HOST_CHARS = 253
# All addresses that are given out to networks, by IANA's registry of the IPv6 address space.
GLOBAL_UNICAST = IPv6Network("2000::/3")
# IPv4 in the last 32 bits: RFC 6052. IPv6-only networks reach every IPv4 host by these.
NAT64 = IPv6Network("64:ff9b::/96")
DOCUMENTATION = IPv6Network("3fff::/20")
# Protocol assignments (a cloud's metadata is served there), relays of 6to4, and the address at
# which Azure's machines find their host: tables of Python, or of IANA, take them for global.
NOT_PUBLIC = [IPv4Network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")]
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*")


def parse_url(url: str, *, allow_private: bool, param: str) -> httpx.URL:
    """Parse an http(s) URL, without resolving its name; raises `InvalidRequest` about `param`."""
    try:
        parsed = httpx.URL(url)
        _check(parsed, allow_private=allow_private)
    except httpx.InvalidURL as error:
        raise InvalidRequest(f"{param}: this is no URL: {error}", param=param) from None
    except ValueError as error:
        raise InvalidRequest(f"{param}: {error}", param=param) from None
    return parsed


def _check(url: httpx.URL, *, allow_private: bool) -> None:
    """Raises `ValueError` unless a request may be sent to this URL."""
    if url.scheme not in ("http", "https"):
        raise ValueError("a URL that begins with https:// or http:// is wanted")
    if url.userinfo:
        raise ValueError("a URL with a user or a password in it is not used")
    if url.port is not None and not 0 < url.port < 65_536:
        raise ValueError("a port is a number from 1 to 65535")
    host = url.raw_host.decode("ascii")
    address = parse_ip_literal(host)
    if address is None and (len(host) > MAX_HOST_CHARS or not _NAME.fullmatch(host)):
        raise ValueError("there is no host in the URL, or none that is written as hosts are")
    # RFC 6761: names under localhost mean the machine itself.
    local = host == "localhost" or host.endswith(".localhost")
    if not allow_private and (local if address is None else not is_public(address)):
        raise ValueError(f"{host} is not a public address")


def parse_ip_literal(host: str) -> str | None:
    """The address in a host that is written as one, in any of the forms of C's `inet_aton`.

    `127.1`, `2130706433`, `0x7f.1` and `0177.0.0.1` are all 127.0.0.1. None for a name.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, each once; raises `OSError` or `UnicodeError` if it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_public(address: str) -> bool:
    """True if the address leads to the same host from everywhere on the Internet."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        mapped = IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else ip.ipv4_mapped
        if mapped is None:
            # 6to4 and Teredo are tunnels, which lead to an IPv4 host.
            is_tunnel = ip.sixtofour is not None or ip.teredo is not None
            return (
                ip in GLOBAL_UNICAST and ip.is_global and not is_tunnel and ip not in DOCUMENTATION
            )
        ip = mapped
    private = ip.is_multicast or ip.is_reserved or any(ip in net for net in NOT_PUBLIC)
    return ip.is_global and not private
