"""The metrics of a worker, and the port where it serves them."""

from __future__ import annotations

import logging

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from shared.errors import Misconfigured
from worker.engine.observer import Observer
from worker.engine.request import Speech

# Seconds of a step or a prefill: a frame is 0.08 s of speech, so a step has to take less.
STEP_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
WAIT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

SLOTS = Gauge("tts_engine_slots", "Requests that are spoken at once at the most", ["model"])
ROWS = Gauge("tts_engine_rows", "Requests that are spoken now", ["model"])
FRAMES = Counter("tts_engine_frames", "Frames made, of 80 ms each", ["model"])
STEP_SECONDS = Histogram(
    "tts_engine_step_seconds",
    "Time of a step, which makes one frame of each row",
    ["model"],
    buckets=STEP_BUCKETS_S,
)
PREFILL_SECONDS = Histogram(
    "tts_engine_prefill_seconds", "Time to read a prompt", ["model"], buckets=STEP_BUCKETS_S
)
WAITING_SECONDS = Histogram(
    "tts_engine_waiting_seconds",
    "Time a request waits for a row",
    ["model"],
    buckets=WAIT_BUCKETS_S,
)
FIRST_AUDIO_SECONDS = Histogram(
    "tts_engine_first_audio_seconds",
    "Time from a request to its first samples",
    ["model"],
    buckets=WAIT_BUCKETS_S,
)
RTF = Histogram(
    "tts_speech_rtf",
    "Real-time factor of a segment: time in the engine by seconds of audio",
    ["model"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10),
)
READY = Gauge("tts_worker_ready", "1 once all models were loaded and segments are taken")
HEARTBEATS_MISSED = Counter("tts_worker_heartbeats_missed", "Heartbeats that Redis did not answer")
LEASES_LOST = Counter("tts_worker_leases_lost", "Claims that did not hold any more when renewed")

_log = logging.getLogger(__name__)


class EngineMetrics(Observer):
    """Counts the work of the engine of one model."""

    def __init__(self, model: str, slots: int) -> None:
        SLOTS.labels(model).set(slots)
        self._rows, self._frames = ROWS.labels(model), FRAMES.labels(model)
        self._steps, self._prefills = STEP_SECONDS.labels(model), PREFILL_SECONDS.labels(model)

    def stepped(self, rows: int, seconds: float, *, left: int) -> None:
        """Count a step."""
        self._frames.inc(rows)
        self._steps.observe(seconds)
        self._rows.set(left)

    def prefilled(self, seconds: float) -> None:
        """Count a prefill."""
        self._prefills.observe(seconds)


def observe_speech(model: str, speech: Speech) -> None:
    """Count a segment that was spoken."""
    timings = speech.timings
    took_s = timings.waiting_s + timings.running_s
    RTF.labels(model).observe(took_s / max(speech.audio_s, 0.08))  # never less than a frame
    WAITING_SECONDS.labels(model).observe(timings.waiting_s)
    if timings.first_audio_s is not None:
        FIRST_AUDIO_SECONDS.labels(model).observe(timings.first_audio_s)


def serve_metrics(host: str, port: int) -> None:
    """Serve the metrics in a thread of their own; raises `Misconfigured` if that fails."""
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        raise Misconfigured(
            f"the metrics cannot be served on TTS_METRICS_HOST={host} TTS_METRICS_PORT={port}"
            f" ({error.strerror}): choose another port, or 0 for none"
        ) from error
    _log.info("Metrics are served on %s:%d", host, port)
