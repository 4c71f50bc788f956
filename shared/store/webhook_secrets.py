"""The secrets that webhooks are signed with: one for each tenant, made when it is first needed.

They are in Redis as plain text, since a signature needs them.
"""

from __future__ import annotations

import base64
import secrets
from typing import cast

from redis import Redis

from shared.store.scripts import Steps

# The prefix, and 24 to 64 bytes: the Standard Webhooks specification.
SECRET_PREFIX, SECRET_BYTES = "whsec_", 32
# Receivers have a day to change to a new one, however often it changes within it.
OLD_SECRET_TTL_S, MAX_SECRETS_IN_USE = 24 * 3_600, 4


class WebhookSecrets:
    """Secrets in Redis; every method may raise `Unavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._steps = Steps(redis)

    def of(self, signer: str) -> list[str]:
        """A tenant's secrets that are in use, the newest first."""
        return self._run(signer, rotates="no")

    def rotate(self, signer: str) -> list[str]:
        """Make a new secret; the previous one stays in use beside it for a day."""
        return self._run(signer, rotates="yes")

    def _run(self, signer: str, *, rotates: str) -> list[str]:
        fresh = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        args = (signer, fresh, rotates, OLD_SECRET_TTL_S, MAX_SECRETS_IN_USE)
        return cast(list[str], self._steps.run("webhook_secrets", *args))
