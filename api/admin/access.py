"""Access of operators: the scope `admin`, the ledger that is meant, and the audit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Query, Request

from api.auth.caller import Caller
from api.auth.scopes import RequireScope
from api.http.access_log import log_action, request_id
from api.ledgers import Ledgers
from api.services import Services, services_of
from shared.errors import Forbidden, InvalidRequest, QueueError, Unavailable
from shared.ledgers import FIRST_LEDGER
from shared.store.api_keys import Scope
from shared.store.audit import Audit

_log = logging.getLogger(__name__)


class RequireOperator(RequireScope):
    """Gives the caller if it may operate the service; raises as `RequireScope` does.

    A server without keys is its user's own while it answers on this machine only. With
    `TTS_AUTH=open` it answers to others, of whom none is known: there it has no operator.
    """

    def __init__(self) -> None:
        super().__init__(Scope.ADMIN)

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # as in `RequireScope`
        """The operator."""
        caller = await super().__call__(request)
        if caller.key is None and services_of(request).settings.auth == "open":
            raise Forbidden(
                "a server that is open to all (TTS_AUTH=open) has no operator: make a key with "
                "`narrate keys create NAME --scopes admin`, and each client needs one then"
            )
        return caller


class Operation:
    """One request of an operator: who asks, and the services of the ledger that is meant."""

    def __init__(self, caller: Caller, services: Services) -> None:
        self.caller = caller
        self.services = services

    @contextmanager
    def audited(self, action: str, target: str) -> Iterator[None]:
        """Note an action and its outcome in the log and in the audit, also if it fails."""
        try:
            yield
        except QueueError as error:
            self._note(action, target, error.code)
            raise
        self._note(action, target, "done")

    def _note(self, action: str, target: str, outcome: str) -> None:
        log_action(f"admin.{action}", target=target, outcome=outcome)
        try:
            Audit(self.services.redis).add(
                key=self.caller.key.id if self.caller.key else "",
                owner=self.caller.owner,
                action=action,
                target=target,
                outcome=outcome,
                request=request_id(),
            )
        except Unavailable as error:
            _log.warning("An operator's action is in this log only: %s", error)


async def _operation(
    request: Request,
    caller: Annotated[Caller, Depends(RequireOperator())],
    ledger: Annotated[
        str | None,
        Query(max_length=64, description="One of `TTS_LEDGERS`; default: that of your key."),
    ] = None,
) -> Operation:
    ledgers: Ledgers = request.app.state.ledgers
    if ledger is None:
        return Operation(caller, services_of(request))
    if ledger == FIRST_LEDGER:
        return Operation(caller, ledgers.first)
    if ledger not in ledgers.further:
        names = ", ".join([FIRST_LEDGER, *ledgers.further])
        raise InvalidRequest(f"no ledger {ledger!r}; there are: {names}", param="ledger")
    return Operation(caller, ledgers.further[ledger])


Operates = Annotated[Operation, Depends(_operation)]
