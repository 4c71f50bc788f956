"""The longest step of the ledger at the documented limits, by Redis's own clock (SLOWLOG).

While a step runs, Redis answers no other client: 20 ms is the most that a step may take.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Not this folder: its queue.py would hide Python's.
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from redis import Redis

from client.local.redis_server import RedisServer
from shared.document import Segment
from shared.jobs import ChapterStart, Outline, SegmentResult, SpeechSpec
from shared.speech_model import Task
from shared.store.batches import Batches, BatchLine
from shared.store.connection import connect
from shared.store.ledger import Ledger
from shared.store.queue_state import QueueState

MODEL = "m"
LEAST_MS = 1.0  # shorter steps are not told apart
SPEC = SpeechSpec(task=Task.CUSTOM_VOICE, model=MODEL, voice="vivian")
SEGMENTS, OWNERS, LEASES, LINES = 100_000, 20_000, 2_000, 100_000
BOOK = Outline(chapters=tuple(ChapterStart(f"Chapter {n}", n) for n in range(10_000)))


def text(number: int, chars: int = 50) -> Segment:
    """A segment of 50 characters, of which 100,000 are five million."""
    return Segment("x" * chars, number * chars, (number + 1) * chars, 0.2)


class Ledgers:
    """A ledger, and the slowest step of each kind that was run through it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.ledger = Ledger(redis, lease_s=10, max_attempts=3, worker="w")
        self.slowest: dict[str, float] = defaultdict(float)
        # Not 0: to log each command within a step would take longer than the step.
        redis.config_set("slowlog-log-slower-than", int(LEAST_MS * 1_000))
        redis.config_set("slowlog-max-len", 2_000)

    def note(self, situation: str) -> None:
        """Attribute the slowest script since the last call to a situation."""
        entries: list[dict[str, Any]] = self.redis.slowlog_get(2_000)
        scripts = [e["duration"] for e in entries if e["command"].startswith(b"EVAL")]
        self.slowest[situation] = max(scripts, default=LEAST_MS * 1_000) / 1_000
        self.redis.slowlog_reset()


def measure(redis: Redis) -> dict[str, float]:
    """Milliseconds of the slowest step in each situation."""
    at = Ledgers(redis)
    ledger = at.ledger
    at.note("begin")
    ledger.admit("book", SPEC, [text(n) for n in range(SEGMENTS)], owner="a", outline=BOOK)
    at.note("admit 100,000 segments")
    ledger.job("book")
    at.note("poll a book of 10,000 chapters")
    held = [ledger.claim(MODEL) for _ in range(LEASES)]
    at.note("claim from 100,000 segments")
    ledger.renew(claim for claim in held[:256] if claim)
    at.note("renew 256 leases")
    assert held[0] is not None
    ledger.commit(held[0], SegmentResult(key="k", samples=48_000))
    at.note("commit one of 100,000 segments")
    redis.zadd("tts:leases", {claim.segment_id: 1 for claim in held if claim})
    redis.delete("tts:reconciled_at")
    ledger.reconcile()
    at.note("reconcile 2,000 lost leases")
    ledger.cancel("book")
    at.note("cancel 100,000 segments")
    ledger.forget("book")
    at.note("delete 100,000 segments")
    for number in range(OWNERS):
        ledger.admit(f"j{number}", SPEC, [text(0)], owner=f"o{number}", cancel_after_s=3_600)
    at.note("admit beside 20,000 owners")
    for number in (0, OWNERS // 2, OWNERS - 1):
        ledger.job(f"j{number}")
    at.note("poll beside 20,000 owners")
    QueueState.read(redis)
    at.note("queue of 20,000 owners")
    claim = ledger.claim(MODEL)
    assert claim is not None
    ledger.fail(claim, "c", "m")
    at.note("claim and fail beside 20,000 owners")
    redis.zadd("tts:deadlines", {f"j{number}": 1 for number in range(1, LEASES)})
    redis.delete("tts:reconciled_at")
    ledger.reconcile()
    at.note("reconcile 2,000 deadlines")
    batches = Batches(redis)
    batches.begin("b", owner="a", endpoint="e", fingerprint="f", total=LINES, ttl_s=60)
    batches.admitted("b", [BatchLine(custom_id=str(n), job_id=f"j{n}") for n in range(LINES)])
    at.note("admit a batch of 100,000 lines")
    del at.slowest["begin"]
    return dict(at.slowest)


def main() -> None:
    """Print the slowest step of each situation; of several rounds, the least disturbed one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        with TemporaryDirectory() as name:
            folder = Path(name)
            with RedisServer(folder, log=folder / "redis.log") as server:
                rounds.append(measure(connect(server.url)))
    least = {situation: min(found[situation] for found in rounds) for situation in rounds[0]}
    if options.json:
        sys.stdout.write(json.dumps(least))
        return
    for situation, slowest_ms in least.items():
        sys.stdout.write(f"{situation:<40} {slowest_ms:>8.2f} ms\n")


if __name__ == "__main__":
    main()
