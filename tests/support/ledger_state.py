"""Everything that the ledger has in Redis, read in one step, and what must always hold of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Self

from redis import Redis

from shared.jobs import TERMINAL, Status, job_of

# An empty Lua table could be a list or a mapping; `Any` below takes both as empty.
READ = """
local found = {}
for _, key in ipairs(redis.call('KEYS', 'tts:*')) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'hash' then found[key] = redis.call('HGETALL', key) end
  if kind == 'zset' then found[key] = redis.call('ZRANGE', key, 0, -1) end
end
return cjson.encode(found)
"""


class LedgerState:
    """Hashes and sorted sets by key, as they were at one moment."""

    def __init__(self, keys: dict[str, list[str]]) -> None:
        self.keys = keys

    @classmethod
    def read(cls, redis: Redis) -> Self:
        answer: Any = redis.eval(READ, 0)
        return cls(json.loads(answer))

    def hash(self, key: str) -> dict[str, str]:
        flat = list(self.keys.get(key, []))
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def named(self, start: str) -> dict[str, list[str]]:
        """What has a key that starts so, by the rest of its key."""
        return {
            key.removeprefix(start): found
            for key, found in self.keys.items()
            if key.startswith(start)
        }

    @property
    def jobs(self) -> dict[str, dict[str, str]]:
        return {name: self.hash(f"tts:job:{name}") for name in self.named("tts:job:")}

    @property
    def segments(self) -> dict[str, Status]:
        names = self.named("tts:segment:")
        return {name: Status(self.hash(f"tts:segment:{name}")["status"]) for name in names}

    @property
    def open_segments(self) -> dict[str, Status]:
        """Those whose job has not ended."""
        jobs = self.jobs
        return {s: v for s, v in self.segments.items() if jobs[job_of(s)]["status"] not in TERMINAL}

    @property
    def admitting(self) -> list[str]:
        return self.keys.get("tts:admitting", [])

    @property
    def statuses(self) -> dict[str, Status]:
        """Of jobs and segments, by key."""
        jobs = {
            f"tts:job:{name}": Status(job["status"])
            for name, job in self.jobs.items()
            if name not in self.admitting
        }
        return jobs | {f"tts:segment:{name}": status for name, status in self.segments.items()}

    def check(self, *, is_upgraded: bool = False) -> None:
        """`is_upgraded` is true of a ledger of which an older version has written a part."""
        self.every_open_segment_is_in_one_index()
        self.whoever_waits_has_a_turn(is_upgraded)
        self.what_counts_is_right()
        self.every_event_is_in_its_queue()

    def every_open_segment_is_in_one_index(self) -> None:
        lists = [*self.named("tts:waiting:").values(), *self.named("tts:suspects:").values()]
        waiting = Counter(segment for found in lists for segment in found)
        segments, jobs = self.open_segments, self.jobs
        assert waiting == Counter(s for s, v in segments.items() if v == Status.QUEUED)
        # The lease of a job that has ended stays until it is renewed or has run out.
        leased = set(self.keys.get("tts:leases", [])) & set(segments)
        assert leased == {s for s, v in segments.items() if v == Status.IN_PROGRESS}
        counted = Counter(jobs[job_of(segment)]["model"] for segment in waiting)
        for name in self.admitting:
            counted[jobs[name]["model"]] -= int(jobs[name]["total"])
        counted += Counter[str]()
        queues = self.hash("tts:queues")
        assert {model: int(n) for model, n in queues.items()} == dict(counted)
        urgent = Counter(
            f"{job['priority']} {job['model']}"
            for segment in waiting
            if job_of(segment) not in self.admitting
            and (job := jobs[job_of(segment)])["priority"] != "normal"
        )
        by_priority = self.hash("tts:queues_by_priority")
        assert {name: int(n) for name, n in by_priority.items()} == dict(urgent)

    def whoever_waits_has_a_turn(self, is_upgraded: bool) -> None:
        jobs = self.jobs
        waiting = [name for name in self.named("tts:waiting:") if name not in self.admitting]
        turns = self.named("tts:turns:")
        for name in waiting:
            model, owner = jobs[name]["model"], jobs[name]["owner"]
            assert name in turns[f"{model}:{owner}"]
            assert owner in turns[model]
        assert sum(len(found) for key, found in turns.items() if ":" in key) == len(waiting)
        since = self.named("tts:waiting_since:")
        noted = Counter(name for found in since.values() for name in found)
        assert noted <= Counter(waiting) if is_upgraded else noted == Counter(waiting)
        assert all(jobs[name]["model"] == model for model, found in since.items() for name in found)
        clocks = {key.removeprefix("tts:turns:") for key in self.hash("tts:clock")}
        assert clocks <= set(turns)

    def what_counts_is_right(self) -> None:
        jobs, chars, todo = Counter[str](), Counter[str](), Counter[str]()
        segments = self.segments
        for name, job in self.jobs.items():
            places = [f"{name}:{place}" for place in range(int(job["total"]))]
            done = [segments.get(place) for place in places]
            assert None not in done or name in self.admitting
            assert int(job.get("completed", 0)) == done.count(Status.COMPLETED)
            ended = job["status"] in TERMINAL
            assert ended or not set(done) & {Status.FAILED, Status.CANCELLED}
            if job["status"] == Status.COMPLETED:
                assert set(done) == {Status.COMPLETED}
            if not ended:
                jobs[job["owner"]] += 1
                chars[job["owner"]] += int(job["chars"])
                todo[job["owner"]] += int(job["total"]) - int(job.get("completed", 0))
        counts = {"jobs": jobs, "chars": chars, "segments": +todo}
        for key, counted in counts.items():
            found = self.hash(f"tts:open_{key}")
            assert {owner: int(n) for owner, n in found.items()} == dict(counted), key

    @property
    def events(self) -> dict[str, dict[str, str]]:
        return {name: self.hash(f"tts:webhook:{name}") for name in self.named("tts:webhook:")}

    def every_event_is_in_its_queue(self) -> None:
        queues = self.named("tts:webhooks:")
        queued = {event: receiver for receiver, found in queues.items() for event in found}
        assert queued == {name: event["receiver"] for name, event in self.events.items()}
        assert set(queues) == set(self.keys.get("tts:webhooks", []))
