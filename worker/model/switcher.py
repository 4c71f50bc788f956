"""The thread that changes a worker's loaded models by what waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from shared.background import BackgroundThread
from shared.errors import Unavailable
from shared.store.ledger import Ledger
from worker.model.pool import ModelPool

LOOK_INTERVAL_S = 0.5


class ModelSwitcher(BackgroundThread):
    """Asks the ledger every `LOOK_INTERVAL_S` seconds what waits, and lets the pool change.

    Loading happens on this thread, so that heartbeats, leases and the other models go on. Once
    `is_stopping`, nothing is changed any more: nothing would be spoken with what is loaded.
    """

    def __init__(self, pool: ModelPool, ledger: Ledger, is_stopping: Callable[[], bool]) -> None:
        self._pool = pool
        self._ledger = ledger
        self._is_stopping = is_stopping
        super().__init__("model switcher", self._loop)

    def _loop(self, stopping: threading.Event) -> None:
        while not stopping.wait(LOOK_INTERVAL_S) and not self._is_stopping():
            with suppress(Unavailable):  # the loaded models stay while Redis is away
                self._pool.change(self._ledger.waiting(self._pool.models))
