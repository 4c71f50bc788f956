"""The line with which a process says, at its start, what it is and what it works with."""

from __future__ import annotations

from importlib.metadata import version

from shared.settings import Settings
from shared.storage_identity import without_password
from shared.store.redis_address import RedisAddress


def start_line(settings: Settings, process: str) -> str:
    """The version, the process, and its Redis and storage without passwords.

    Example: `qwen-tts-queue 0.1.0: worker h:5f0c:77:9e, Redis redis://127.0.0.1:6379/0, storage
    file:///results`.
    """
    redis = RedisAddress.parse(settings.redis_url)
    storage = without_password(settings.storage_url)
    further = settings.further_ledgers
    more = f", further ledgers {', '.join(further)}" if further else ""
    return (
        f"qwen-tts-queue {version('qwen-tts-queue')}: {process}, Redis {redis}{more}, "
        f"storage {storage}"
    )
