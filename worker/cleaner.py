"""Removes what is of no use: results past their time, joined segments, and voices that are gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from shared.background import BackgroundThread
from shared.errors import QueueError
from shared.storage import Storage
from shared.storage_paths import job_folder, segments_folder
from shared.store.ledger import Ledger
from shared.store.voices import WRITTEN_WITHIN_S, Voices, voice_folder

SWEEP_INTERVAL_S = 10.0
# A Redis that comes back without its last seconds, or a replica that was behind, has the job joined
# again: until then its segments stay.
REMOVAL_GRACE_S = 60.0
_log = logging.getLogger(__name__)


class Cleaner:
    """A thread that sweeps every `SWEEP_INTERVAL_S` seconds; several workers may do so at once."""

    def __init__(self, *, ledger: Ledger, voices: Voices, storage: Storage, ttl_s: float) -> None:
        self._ledger, self._voices = ledger, voices
        self._storage, self._ttl_s = storage, ttl_s
        # A sweep that fails does so at its own time: until the next one nothing has settled.
        self.thread = BackgroundThread("cleaner", self._loop, settled_s=2 * SWEEP_INTERVAL_S)

    def start(self) -> None:
        """Begin to sweep."""
        self.thread.start()

    def stop(self) -> None:
        """Stop after the job at hand."""
        self.thread.stop()

    def sweep(self) -> int:
        """Remove some of what is due; returns of how many jobs that was."""
        expired = self._each(self._ledger.expired(self._ttl_s), self._ledger.forget)
        if expired:
            _log.info("Removing %d expired jobs", expired)
        # A deleted job was perhaps still being spoken, and something of it stored afterwards.
        self._each(self._ledger.forgotten(REMOVAL_GRACE_S), self._delete_files)
        self._each(self._voices.left_behind(WRITTEN_WITHIN_S), self._delete_voice)
        return expired + self._each(
            self._ledger.with_leftovers(REMOVAL_GRACE_S), self._delete_segments
        )

    def _each(self, jobs: list[str], remove: Callable[[str], object]) -> int:
        """How many of the jobs were dealt with before we are to stop."""
        for number, job_id in enumerate(jobs):
            if self.thread.is_stopping:
                return number
            remove(job_id)
        return len(jobs)

    def _delete_files(self, job_id: str) -> None:
        self._storage.delete_folder(job_folder(job_id))
        self._ledger.files_deleted(job_id)

    def _delete_voice(self, voice_id: str) -> None:
        self._storage.delete_folder(voice_folder(voice_id))
        self._voices.files_deleted(voice_id)

    def _delete_segments(self, job_id: str) -> None:
        self._storage.delete_folder(segments_folder(job_id))
        self._ledger.leftovers_deleted(job_id)

    def _loop(self, stopping: threading.Event) -> None:
        while not stopping.wait(SWEEP_INTERVAL_S):
            try:
                while self.sweep():
                    pass
            except QueueError as error:
                _log.warning("Expired results are left for later: %s", error)
