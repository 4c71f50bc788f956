"""Every setting, in one place, read from the environment once."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import InvalidSetting
from shared.ledgers import FurtherLedger, read_ledgers
from shared.models import DEFAULT_MODEL
from shared.store.redis_address import RedisAddress

# Characters of a URL that may hold a password: such a value is never shown.
SECRET_MARKS = ("@", "?", "#")

ENV_PREFIX = "TTS_"
# Settings that the version before lacks, so that they were never named without the prefix.
NEW_SETTINGS = frozenset(
    {
        "api_drain_s",
        "ledgers",
        "log_format",
        "metrics",
        "metrics_host",
        "metrics_port",
        "redis_replicas",
        "tracing",
    }
)
# Kubernetes sets these for a service called `tts` or `tts-…`: TTS_PORT, TTS_API_SERVICE_HOST.
_OF_KUBERNETES = re.compile(r"(_SERVICE_HOST|_SERVICE_PORT.*|_PORT(_\d+_(TCP|UDP).*)?)$")

# RFC 6454, in ASCII; browsers leave out the ports 80 of http and 443 of https.
_ORIGIN = re.compile(
    r"(?!http://.*:80$|https://.*:443$)[a-z][a-z0-9+.-]*://"
    r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
)

# A path of a URL in which nothing is encoded, as proxies show a server under it.
ROOT_PATH_PATTERN = r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]{1,64}){0,16}"

_log = logging.getLogger(__name__)


class Settings(BaseSettings):
    """The settings of a deployment: `slots` is the environment variable `TTS_SLOTS`, and so on.

    Bounds are part of the type; `load` turns a bad value into one sentence.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)
    # A JSON object: see `further_ledgers`.
    ledgers: str = Field(default="", repr=False)
    storage_url: str = Field(
        default_factory=lambda: (Path.cwd() / "data" / "results").as_uri(),
        pattern="^(file:///|(s3|gs|az|https?)://.)",
        repr=False,
    )
    # Seconds that the API waits for a silent storage; a worker waits five times as long.
    storage_timeout_s: float = Field(default=2.0, ge=0.1, le=60)
    # The number of Redis's replicas that have a job before it counts as accepted.
    redis_replicas: int = Field(default=0, ge=0, le=10)
    # Accept a Redis that may evict keys.
    allow_eviction: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    # `auto`: if an OTLP endpoint is named in the environment.
    tracing: Literal["auto"] | bool = "auto"

    # Worker
    # One model, or several with commas between them: see `models`.
    model: str = DEFAULT_MODEL
    # GiB of weights that a worker keeps loaded; None: those of all its models.
    model_memory: float | None = Field(default=None, gt=0)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16", "int8"] | None = None
    compile: Literal["auto"] | bool = "auto"
    threads: int | None = Field(default=None, ge=1, le=1024)
    slots: int = Field(default=16, ge=1, le=256)
    drain_s: float = Field(default=30.0, ge=0)
    # Where a worker serves its metrics; port 0: nowhere.
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)

    # API
    # Seconds that an API process serves on after SIGTERM, while a proxy turns to another one.
    api_drain_s: float = Field(default=0.0, ge=0, le=600)
    auth: Literal["auto", "required", "open"] = "auto"
    hosts: str = ""
    # Origins with commas between them, or `*`: see `allowed_origins`.
    cors_origins: str = ""
    # The path of the URL under which a proxy shows the API, such as `/tts`.
    root_path: str = ""
    # Addresses and networks with commas between them, or `*`: the proxies whose headers are read.
    trusted_proxies: str = "127.0.0.1,::1"
    log_requests: bool = True
    # `key`: as any other request; `open`: `/metrics` asks for no key.
    metrics: Literal["key", "open"] = "key"
    # Models and the models' own voices are listed without a key, too.
    public_lists: bool = False
    # JSON objects: see `model_alias_table` and `voice_alias_table`.
    model_aliases: str = ""
    voice_aliases: str = ""
    max_input_chars: int = Field(default=5_000_000, ge=1)
    # Speech is split in the threads that serve requests: 20,000 characters take 0.05 s.
    max_speech_chars: int = Field(default=4_096, ge=1, le=20_000)
    # Speech at once that would begin later, by the pace of the queue, is refused.
    speech_wait_s: float = Field(default=300.0, ge=1)
    max_segment_chars: int = Field(default=240, ge=20, le=2_000)
    max_segments: int = Field(default=100_000, ge=1)
    max_split_cpu_s: float = Field(default=60.0, gt=0)
    split_threads: int = Field(default=2, ge=1, le=64)
    max_waiting_splits: int = Field(default=64, ge=0)
    max_body_bytes: int = Field(default=64 * 2**20, ge=1_024)
    max_reference_s: float = Field(default=60.0, gt=0)
    max_voice_bytes: int = Field(default=20 * 2**20, ge=1_024)
    max_voices: int = Field(default=200, ge=0)
    max_open_segments: int = Field(default=500_000, ge=1)
    max_open_jobs: int = Field(default=1_000, ge=1)
    max_open_chars: int = Field(default=20_000_000, ge=1)
    max_owner_segments: int = Field(default=125_000, ge=1)
    max_open_bytes: int = Field(default=2**30, ge=0)
    # Limits of one API process.
    max_listeners: int = Field(default=1_000, ge=1)
    max_owner_listeners: int = Field(default=100, ge=1)
    max_requests_per_s: float = Field(default=500, ge=0)
    max_bodies_bytes: int = Field(default=256 * 2**20, ge=1_024)
    # `any`: loopback and private addresses too, for receivers on one's own network.
    reference_urls: Literal["off", "public", "any"] = "off"
    webhook_targets: Literal["off", "public", "any"] = "public"
    model_ttl_s: float = Field(default=24 * 3_600.0, gt=0)

    # Ledger
    result_ttl_s: float = Field(default=7 * 24 * 3_600.0, gt=0)
    lease_s: float = Field(default=10.0, gt=0)
    max_attempts: int = Field(default=3, ge=1)

    @property
    def models(self) -> tuple[str, ...]:
        """The names in `model`, each once, in their order."""
        return _split_list(self.model)

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins in `cors_origins`, in lower case as browsers send them."""
        return _split_list(self.cors_origins.lower())

    @property
    def further_ledgers(self) -> dict[str, FurtherLedger]:
        """The ledgers beside that of `redis_url`, by their names."""
        return read_ledgers(self.ledgers)

    @property
    def model_alias_table(self) -> dict[str, str]:
        """The model that each other name stands for."""
        return _read_aliases(self.model_aliases)

    @property
    def voice_alias_table(self) -> dict[str, str]:
        """The voice that each other name stands for."""
        return _read_aliases(self.voice_aliases)

    @field_validator("model_aliases", "voice_aliases")
    @classmethod
    def _aliases_can_be_read(cls, aliases: str) -> str:
        _read_aliases(aliases)
        return aliases

    @field_validator("ledgers")
    @classmethod
    def _ledgers_can_be_read(cls, ledgers: str, info: ValidationInfo) -> str:
        read_ledgers(ledgers, info.data.get("redis_url"))
        return ledgers

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_exact(cls, origins: str, info: ValidationInfo) -> str:
        listed = _split_list(origins)
        if "*" in listed and info.data.get("auth") != "required":
            raise ValueError(
                "* lets every page of the web use this server, which needs keys: make one with "
                "`narrate keys create NAME` and set TTS_AUTH=required, or list exact origins"
            )
        if "*" in listed and len(listed) > 1:
            raise ValueError("* is every origin: leave out the others")
        for origin in listed:
            if origin != "*" and not _ORIGIN.fullmatch(origin.lower()):
                raise ValueError(
                    f"{origin!r} is no origin: write it as a browser sends it, such as "
                    "https://app.example or http://localhost:3000, without a path, a final slash, "
                    "a user, a * or the port that its scheme has anyway"
                )
        return origins

    @field_validator("root_path")
    @classmethod
    def _root_path_is_a_path(cls, path: str) -> str:
        if not re.fullmatch(ROOT_PATH_PATTERN, path):
            raise ValueError(
                "write it as the path of the URL without a slash at its end, such as /tts or "
                "/apps/tts, of letters, digits and . _ ~ -"
            )
        return path

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_addresses(cls, proxies: str) -> str:
        listed = _split_list(proxies)
        for each in listed:
            try:
                if each != "*" or len(listed) > 1:
                    ip_network(each)
            except ValueError:
                raise ValueError(
                    f"{each!r} is no address: list addresses and networks such as 10.0.0.7 or "
                    "172.16.0.0/12 with commas between them, or write * alone for all"
                ) from None
        return ",".join(listed)

    @field_validator("model")
    @classmethod
    def _models_have_names(cls, model: str) -> str:
        if not _split_list(model):
            raise ValueError("name a model, or several with commas between them")
        return model

    @field_validator("redis_url")
    @classmethod
    def _redis_is_one_server(cls, url: str) -> str:
        RedisAddress.parse(url)
        return url

    @field_validator("precision")
    @classmethod
    def _int8_is_for_the_cpu(cls, precision: str | None, info: ValidationInfo) -> str | None:
        if precision == "int8" and info.data.get("device") == "cuda":
            raise ValueError("int8 is for the CPU: use bfloat16 with TTS_DEVICE=cuda")
        return precision

    @classmethod
    def load(cls, **changes: Any) -> Self:
        """Read the environment; `changes` that are not None win over it.

        A name without the prefix is read if the prefixed one is not set: for one version, with a
        warning. Raises `InvalidSetting` for an unknown name and for a bad value, with the
        variable's name and what is allowed.
        """
        _refuse_unknown_names(cls.model_fields)
        old = _old_settings(cls.model_fields)
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            return cls(**old | given)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            is_old = field in old and field not in given
            name = field.upper() if is_old else f"{ENV_PREFIX}{field.upper()}"
            said = first["msg"].removeprefix("Value error, ")
            value = str(first["input"])
            has_url = name.endswith(("URL", "LEDGERS"))
            is_secret = has_url and any(mark in value for mark in SECRET_MARKS)
            shown = name if is_secret else f"{name}={first['input']!r}"
            raise InvalidSetting(f"{shown}: {said}", param=name) from None


def _split_list(text: str) -> tuple[str, ...]:
    names = (name.strip() for name in text.split(","))
    return tuple(dict.fromkeys(filter(None, names)))


def _read_aliases(text: str) -> dict[str, str]:
    """The names of a JSON object, and what each stands for; raises `ValueError`."""
    if not text.strip():
        return {}
    try:
        table = json.loads(text)
    except ValueError:
        table = None
    if not isinstance(table, dict) or not all(
        isinstance(target, str) and name.strip() and target.strip()
        for name, target in table.items()
    ):
        raise ValueError('write it as JSON with a name for each name: {"their name": "our name"}')
    return {name.strip(): target.strip() for name, target in table.items()}


def _refuse_unknown_names(fields: Iterable[str]) -> None:
    """Raise `InvalidSetting` if the environment has a `TTS_…` that is no setting."""
    known = [f"{ENV_PREFIX}{field.upper()}" for field in fields]
    for name in sorted(each.upper() for each in os.environ):
        if not name.startswith(ENV_PREFIX) or name in known or _OF_KUBERNETES.search(name):
            continue
        similar = get_close_matches(name, known, n=1)
        advice = f"did you mean {similar[0]}?" if similar else "docs/settings.md lists all settings"
        raise InvalidSetting(f"there is no setting {name}; unset it: {advice}", param=name)


def _old_settings(fields: Iterable[str]) -> dict[str, str]:
    """The settings that the environment has under their names without the prefix only."""
    variables = {name.lower(): value for name, value in os.environ.items() if value}
    old = {}
    for field in fields:
        if field not in variables or field in NEW_SETTINGS:
            continue
        if f"{ENV_PREFIX}{field}".lower() in variables:
            _warn(f"{field.upper()} is not read, since {ENV_PREFIX}{field.upper()} is set")
        else:
            name = field.upper()
            _warn(f"{name} is read for this version only: name it {ENV_PREFIX}{name}")
            old[field] = variables[field]
    return old


@cache
def _warn(text: str) -> None:
    """Log a warning, once in this process."""
    _log.warning(text)
