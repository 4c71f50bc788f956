"""Deletes expired jobs, and the files of joined segments, deleted jobs and deleted voices."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from shared.background import BackgroundThread
from shared.errors import QueueError
from shared.storage import Storage
from shared.storage_paths import job_folder, segments_folder
from shared.store.ledger import Ledger
from shared.store.voices import RECORD_TIMEOUT_S, Voices, voice_folder

SWEEP_INTERVAL_S = 10.0
# Segments stay for this time after the join: a Redis that comes back without its last seconds, or a
# replica that was behind, has the job joined again.
REMOVAL_GRACE_S = 60.0
_log = logging.getLogger(__name__)


class Cleaner(BackgroundThread):
    """A thread that sweeps every `SWEEP_INTERVAL_S` seconds; many workers may run one."""

    def __init__(self, *, ledger: Ledger, voices: Voices, storage: Storage, ttl_s: float) -> None:
        self._ledger, self._voices = ledger, voices
        self._storage, self._ttl_s = storage, ttl_s
        # A fault recurs at the next sweep only: it is over after two intervals without one.
        super().__init__("cleaner", self._loop, settled_s=2 * SWEEP_INTERVAL_S)

    def sweep(self) -> int:
        """Delete up to 100 of each kind; returns the number of jobs that were expired or joined."""
        expired = self._each(self._ledger.expired(self._ttl_s), self._ledger.forget)
        if expired:
            _log.info("Removing %d expired jobs", expired)
        # A worker may have stored a segment after its job was deleted.
        self._delete_folders(
            self._ledger.forgotten(REMOVAL_GRACE_S), job_folder, self._ledger.files_deleted
        )
        self._delete_folders(
            self._voices.left_behind(RECORD_TIMEOUT_S), voice_folder, self._voices.files_deleted
        )
        return expired + self._delete_folders(
            self._ledger.with_leftovers(REMOVAL_GRACE_S),
            segments_folder,
            self._ledger.leftovers_deleted,
        )

    def _each(self, ids: list[str], remove: Callable[[str], object]) -> int:
        """Call `remove` for each id until the thread is to stop; returns the number of calls."""
        for number, removed in enumerate(ids):
            if self.is_stopping:
                return number
            remove(removed)
        return len(ids)

    def _delete_folders(
        self,
        ids: list[str],
        folder_of: Callable[[str], str],
        note_deleted: Callable[[str], object],
    ) -> int:
        """Delete each id's folder, and note that in Redis; returns the number of ids."""

        def delete(id_: str) -> None:
            self._storage.delete_folder(folder_of(id_))
            note_deleted(id_)

        return self._each(ids, delete)

    def _loop(self, stopping: threading.Event) -> None:
        while not stopping.wait(SWEEP_INTERVAL_S):
            try:
                while self.sweep():
                    pass
            except QueueError as error:
                _log.warning("Expired results are left for later: %s", error)
