"""A worker's description of itself, for operators, and whether one of them has drained it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from importlib.metadata import version

from shared.models import ModelCard
from shared.settings import Settings
from shared.storage_identity import without_password
from shared.store.live_workers import LiveWorkers, WorkerInfo

# Seconds over which the speed is taken.
SPEED_WINDOW_S = 60.0


class Presence:
    """Says at each heartbeat what the worker is and does, and learns whether it is drained."""

    def __init__(
        self,
        info: WorkerInfo,
        workers: LiveWorkers,
        loaded: Callable[[], Sequence[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._info = info
        self._workers = workers
        self._loaded = loaded
        self._clock = clock
        self._spoken: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()
        self.is_drained = False

    def note_speech(self, audio_s: float) -> None:
        """Note that a segment of `audio_s` seconds was committed."""
        with self._lock:
            self._spoken.append((self._clock(), audio_s))

    def announce(self) -> None:
        """Renew the description; raises `Unavailable`."""
        segments, audio_s = self._speech()
        self.is_drained = self._workers.note(
            self._info.model_copy(
                update={
                    "loaded": tuple(self._loaded()),
                    "segments_per_minute": round(60 * segments / SPEED_WINDOW_S, 1),
                    "audio_s_per_s": round(audio_s / SPEED_WINDOW_S, 3),
                }
            )
        )

    def withdraw(self) -> None:
        """Delete the description; raises `Unavailable`."""
        self._workers.forget(self._info.id)

    def _speech(self) -> tuple[int, float]:
        """The segments of the last minute, and their seconds of audio."""
        oldest = self._clock() - SPEED_WINDOW_S
        with self._lock:
            while self._spoken and self._spoken[0][0] < oldest:
                self._spoken.popleft()
            return len(self._spoken), sum(audio_s for _, audio_s in self._spoken)


def describe(name: str, settings: Settings, cards: Sequence[ModelCard]) -> WorkerInfo:
    """A worker's description at its start."""
    precisions = {card.compute.precision for card in cards if card.compute}
    return WorkerInfo(
        id=name,
        version=version("qwen-tts-queue"),
        models=tuple(card.id for card in cards),
        precision=", ".join(sorted(precisions)) or settings.precision or "",
        device=settings.device,
        slots=settings.slots,
        storage=without_password(settings.storage_url),
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=time.time(),
    )
