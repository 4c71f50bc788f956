"""A worker process for `scaling.py`: the real worker but for its arithmetic, which sleeps."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import worker.app
from benchmarks.sleeping_engine import CARD, SleepingRunner, sleeping_engine
from benchmarks.step_times import StepTimes
from shared import logs
from shared.models import ModelCard
from shared.settings import Settings
from worker.engine.clone_prompts import PromptStore
from worker.engine.compute_thread import ComputeThread
from worker.engine.engine import Engine
from worker.model import engines

NOTE_S = 0.25


def serve(notes: Path, times: StepTimes, settings: Settings) -> None:
    """Serve until SIGTERM; its log is beside its notes."""
    with notes.with_suffix(".log").open("w") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    runner = SleepingRunner(times)
    threading.Thread(target=_take_notes, args=(notes, runner), daemon=True).start()

    def start(
        _settings: Settings, _prompts: PromptStore, thread: ComputeThread
    ) -> tuple[ModelCard, Engine]:
        return CARD, sleeping_engine(runner, settings.slots, thread)

    engines.start_engine = start
    logs.configure("warning")
    os._exit(worker.app.serve(settings))  # as the worker ends: without waiting for its threads


def _take_notes(path: Path, runner: SleepingRunner) -> None:
    """Write frames, steps, rows and CPU seconds of this process to a file, again and again."""
    draft = path.with_suffix(".draft")
    while True:
        notes = {
            "at_s": time.monotonic(),
            "frames": runner.frames,
            "steps": runner.steps,
            "rows": runner.rows,
            "cpu_s": time.process_time(),
        }
        draft.write_text(json.dumps(notes))
        draft.rename(path)
        time.sleep(NOTE_S)
