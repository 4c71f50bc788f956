"""`python -m benchmarks.queue_worker ours|plain`: a worker that notes what it spends.

Ours is the real one in all but its engine. `STATS` names the file for the notes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from redis.connection import AbstractConnection

THREADS, NOTE_S = 20, 0.05
_sent = 0


def count_round_trips() -> None:
    """Count what any Redis client of this process sends; a pipeline is one round trip."""
    send = AbstractConnection.send_packed_command

    def counted(self: AbstractConnection, *args: Any, **kwargs: Any) -> Any:
        global _sent
        _sent += 1
        return send(self, *args, **kwargs)

    AbstractConnection.send_packed_command = counted


def take_notes(path: Path) -> None:
    """Write CPU seconds and round trips of this process to a file, again and again."""
    draft = path.with_suffix(".draft")
    while True:
        draft.write_text(json.dumps({"cpu_s": time.process_time(), "round_trips": _sent}))
        draft.rename(path)
        time.sleep(NOTE_S)


def serve_ours() -> None:
    """Our worker, with speech that costs nothing."""
    import worker.app
    from benchmarks.queue_speech import CARD, NoEngine
    from shared import logs
    from shared.settings import Settings
    from worker.model import engines

    logs.configure("info")
    engines.start_engine = lambda *_args: (CARD, NoEngine())
    worker.app.serve(Settings.load(model=CARD.id))


def serve_plain() -> None:
    """Celery's worker as it comes, with as many threads as ours."""
    from benchmarks.queue_plain import queue

    queue.Worker(pool="threads", concurrency=THREADS, loglevel="INFO").start()


if __name__ == "__main__":
    count_round_trips()
    notes = threading.Thread(target=take_notes, args=[Path(os.environ["STATS"])], daemon=True)
    notes.start()
    {"ours": serve_ours, "plain": serve_plain}[sys.argv[1]]()
