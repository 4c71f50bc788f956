"""The Redis that TTS_REDIS_URL names: read once, for every library that connects to it.

It is one server, or the primary of a service that Sentinels watch (`shared.store.primary`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

URL_SCHEMES = ("redis", "rediss", "unix")
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26379
SENTINEL_FORM = "redis+sentinel://HOST:26379,HOST:26379/SERVICE/0"
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
# ssl_cert_reqs of redis-py, and of Celery's documentation.
CERT_REQS = ("required", "optional", "none")
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS = ("ssl_cert_reqs", "ssl_check_hostname", *TLS_FILES, "ssl_ca_path", "ssl_password")
URL_OPTIONS = ("db", "username", "password", *TLS_OPTIONS)
FLAG_VALUES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
ENCODING_HINT = (
    "percent-encode what is special in a password: / is %2F, ? is %3F, # is %23, @ is %40, [ is %5B"
)


@dataclass(frozen=True)
class RedisAddress:
    """A server, the account and the TLS parameters for it; `str` of it holds no secret."""

    scheme: str
    host: str = "127.0.0.1"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    # As redis-py names them: `ssl_ca_certs` and so on.
    tls: dict[str, Any] = field(default_factory=dict, repr=False)
    # Hosts and ports; with them, `host` and `port` say nothing: the Sentinels name the primary.
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL; raises `ValueError` with a sentence that does not repeat it."""
        scheme = _scheme(url)
        parts = _split(url)
        options = _options(parts, scheme)
        in_path = "" if scheme == "unix" else unquote(parts.path).strip("/")
        if scheme in SENTINEL_SCHEMES:
            server, in_path = _service(parts, options, in_path)
        else:
            server = _server(parts, scheme)
        database = options.get("db") or in_path or "0"
        if not (database.isascii() and database.isdigit()):
            raise ValueError(f"its database is a number: redis://host:6379/0; {ENCODING_HINT}")
        return cls(
            scheme=scheme,
            **server,
            db=int(database),
            username=unquote(parts.username or "") or options.get("username"),
            password=unquote(parts.password or "") or options.get("password"),
            tls=_tls(options),
        )

    @property
    def is_tls(self) -> bool:
        """True if the server is spoken to through TLS."""
        return self.scheme.startswith("rediss")

    @property
    def is_socket(self) -> bool:
        """True if the server is a Unix domain socket."""
        return self.scheme == "unix"

    @property
    def fingerprint(self) -> int:
        """A number that differs for another account or TLS, and reveals nothing of this one."""
        of_sentinels = (self.sentinels, self.sentinel_username, self.sentinel_password)
        return hash((self.username, self.password, of_sentinels, *sorted(self.tls.items())))

    @property
    def broker_url(self) -> str:
        """The name for Celery's logs: kombu reads a + or several hosts in a URL its own way."""
        if not self.sentinels:
            return str(self)
        return f"{self.scheme.partition('+')[0]}://{self.service}/{self.db}"

    def options(self) -> dict[str, Any]:
        """The arguments of a redis-py connection to it, sync or async."""
        account = {"db": self.db, "username": self.username, "password": self.password}
        if self.is_socket:
            return {"path": self.path, **account}
        return {"host": self.host, "port": self.port, **account, **self.tls}

    def sentinel_options(self) -> dict[str, Any]:
        """The arguments of a redis-py client of one of the Sentinels, but for host and port."""
        account = {"username": self.sentinel_username, "password": self.sentinel_password}
        return {**account, **({"ssl": True, **self.tls} if self.is_tls else {})}

    def __str__(self) -> str:
        if self.is_socket:
            return f"unix://{self.path}?db={self.db}"
        if self.sentinels:
            hosts = ",".join(host_and_port(*each) for each in self.sentinels)
            return f"{self.scheme}://{hosts}/{self.service}/{self.db}"
        return f"{self.scheme}://{host_and_port(self.host, self.port)}/{self.db}"


def host_and_port(host: str, port: int) -> str:
    """A server as a URL names it: `h:6379`, `[::1]:6379`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # Its own message repeats the host, which is a part of the password if that has a bracket.
        raise ValueError(f"its host and account cannot be told apart; {ENCODING_HINT}") from None


def _scheme(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme in SENTINEL_SCHEMES and rest:
        return scheme
    if "sentinel" in scheme:
        raise ValueError(f"Sentinels are named so: {SENTINEL_FORM} (docs/redis.md)")
    if "cluster" in scheme:
        raise ValueError("Redis Cluster is not supported: give one primary (docs/redis.md)")
    if not separator or scheme not in URL_SCHEMES or not rest:
        raise ValueError("it begins with redis://, rediss:// (TLS) or unix:///")
    if ";" in rest or "," in rest.partition("?")[0].rpartition("@")[2]:
        raise ValueError(f"it names one server, not several; {ENCODING_HINT}, ; is %3B")
    return scheme


def _service(parts: SplitResult, options: dict[str, str], path: str) -> tuple[dict[str, Any], str]:
    """The Sentinels, their service and their account; and the database in the path."""
    service, _, database = path.partition("/")
    if not service:
        raise ValueError(f"it names no service of the Sentinels: {SENTINEL_FORM}")
    hosts = parts.netloc.rpartition("@")[2].split(",")
    sentinels = tuple(_sentinel(host) for host in hosts)
    account = {name: options.get(name) for name in SENTINEL_OPTIONS}
    return {"sentinels": sentinels, "service": service, **account}, database


def _sentinel(host: str) -> tuple[str, int]:
    if not host.strip() or ";" in host:
        raise ValueError(f"it lists Sentinels with commas between them: {SENTINEL_FORM}")
    parts = _split(f"redis://{host.strip()}")
    found, has_port = _server(parts, "redis"), parts.port is not None
    return found["host"], found["port"] if has_port else SENTINEL_PORT


def _server(parts: SplitResult, scheme: str) -> dict[str, Any]:
    """The path of a socket, or the host and port of a server."""
    if scheme == "unix":
        if parts.hostname or parts.path in ("", "/"):
            said = "a socket is named by three slashes and its path: unix:///run/redis.sock"
            raise ValueError(said)
        return {"path": unquote(parts.path)}
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"its port is no number from 1 to 65535; {ENCODING_HINT}") from None
    if port == 0:
        raise ValueError("its port is no number from 1 to 65535")
    return {"host": unquote(host or "127.0.0.1"), "port": port or 6379}


def _options(parts: SplitResult, scheme: str) -> dict[str, str]:
    if parts.fragment:
        raise ValueError(f"it has a # in it; {ENCODING_HINT}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = (*URL_OPTIONS, *(SENTINEL_OPTIONS if scheme in SENTINEL_SCHEMES else ()))
    if options.keys() - set(known):
        raise ValueError(f"its options are {', '.join(known)}; {ENCODING_HINT}")
    is_tls = scheme.startswith("rediss")
    if not is_tls and (given := sorted(options.keys() & set(TLS_OPTIONS))):
        raise ValueError(f"{given[0]} is an option of rediss:// only")
    return options


def _tls(options: dict[str, str]) -> dict[str, Any]:
    tls: dict[str, Any] = {name: options[name] for name in TLS_OPTIONS if name in options}
    if "ssl_cert_reqs" in tls:
        tls["ssl_cert_reqs"] = tls["ssl_cert_reqs"].lower().removeprefix("cert_")
        if tls["ssl_cert_reqs"] not in CERT_REQS:
            raise ValueError(f"ssl_cert_reqs is one of {', '.join(CERT_REQS)}")
    if "ssl_check_hostname" in tls:
        flag = FLAG_VALUES.get(tls["ssl_check_hostname"].lower())
        if flag is None:
            raise ValueError("ssl_check_hostname is true or false")
        tls["ssl_check_hostname"] = flag
    for name in TLS_FILES:
        if name in tls and not Path(tls[name]).is_file():
            raise ValueError(f"{name} names no file that can be read")
    if "ssl_ca_path" in tls and not Path(tls["ssl_ca_path"]).is_dir():
        raise ValueError("ssl_ca_path names no folder that can be read")
    return tls
