"""Removes results that are older than they are kept, files and records together."""

from __future__ import annotations

import logging
import threading

from shared.errors import QueueError
from shared.jobs import job_folder
from shared.ledger import Ledger
from shared.storage import Storage

SWEEP_S = 10.0
_log = logging.getLogger(__name__)


class Expiry:
    """A thread that sweeps every `SWEEP_S` seconds; several workers may do so at once."""

    def __init__(self, *, ledger: Ledger, storage: Storage, ttl_s: float) -> None:
        self._ledger, self._storage, self._ttl_s = ledger, storage, ttl_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="expiry", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the job at hand."""
        self._stopping.set()
        self._thread.join()

    def sweep(self) -> int:
        """Remove what is due; returns how many jobs that was."""
        due = self._ledger.expired(self._ttl_s)
        for number, job_id in enumerate(due):
            if self._stopping.is_set():
                return number
            self._ledger.forget(job_id)
        # If we die in between, the next sweep finds them here.
        for job_id in self._ledger.forgotten():
            if self._stopping.is_set():
                break
            self._storage.delete_folder(job_folder(job_id))
            self._ledger.files_deleted(job_id)
        return len(due)

    def _loop(self) -> None:
        while not self._stopping.wait(SWEEP_S):
            try:
                while removed := self.sweep():
                    _log.info("Removed %d expired jobs", removed)
            except QueueError as error:
                _log.warning("Expired results are left for later: %s", error)
            except Exception:  # noqa: BLE001 - else nothing would ever expire again
                _log.exception("Expired results are left for later")
