"""The keys of everything in Redis, named once: Python imports them, Lua is given them.

A family of keys is a function of its parts: `job("j1")` is `tts:job:j1`. In Lua it has the name
with `_key` after it, `job_key(id)`; a single key has the name that it has here, `LEASES`. A step
is given those that its source names (`lua_names`); `shared.store.scripts` puts them in front of it.

Members are `name: value` of a hash, `member by score` of a sorted set (zset). A segment's id is its
job's and its number (`j1:0`), or the job's and `:join`. "Steps" are this package's Lua scripts.
Times are Unix seconds by Redis's clock. A key without a lifetime goes with its last member.

| key                          | type   | members                                           | written by      | lives                     |
|------------------------------|--------|---------------------------------------------------|-----------------|---------------------------|
| tts:job:{job}                | hash   | the job's record: status, owner, spec, counts …   | steps           | until deleted             |
| tts:segment:{segment}        | hash   | status, epoch, attempts, worker, text, result …   | steps           | until deleted             |
| tts:history:{job}            | list   | what happened to the job, each entry as JSON      | steps           | with its job, or 400 days |
| tts:idempotency:{owner}:{}   | hash   | the job that has the idempotency key, a digest    | admit           | with its job              |
| tts:listeners:{job}          | number | clients that listen to the job                    | listener steps  | 6 h after the last one    |
| tts:jobs                     | zset   | admitted job by when it opened                    | steps           |                           |
| tts:jobs:{owner}             | zset   | the jobs of one owner, by when they opened        | steps           |                           |
| tts:ended                    | zset   | ended job by when it ended                        | steps           |                           |
| tts:leftovers                | zset   | ended job whose segments' files may be left       | steps, cleaner  |                           |
| tts:admitting                | zset   | job being admitted by when it is given up         | admission       |                           |
| tts:admitting_segments       | hash   | model: segments of jobs being admitted            | admission       |                           |
| tts:deleting                 | zset   | deleted job by how many of its segments are left  | deletion        |                           |
| tts:forgotten                | zset   | deleted job by when; its files go later           | deletion        |                           |
| tts:deadlines                | zset   | job by when it is to be cancelled                 | steps           |                           |
| tts:open_jobs                | hash   | owner: its jobs that have not ended               | steps           |                           |
| tts:open_chars               | hash   | owner: their characters                           | steps           |                           |
| tts:open_segments            | hash   | owner: their segments that are not done           | steps           |                           |
| tts:open_bytes               | hash   | owner: the bytes of their recordings              | steps           |                           |
| tts:used:{day}:{owner}       | hash   | chars, samples: used of the day's quota           | steps           | 2 days                    |
| tts:queues                   | hash   | model: segments that wait                         | fair queue      |                           |
| tts:queues_by_priority       | hash   | high or low, and model: segments that wait        | fair queue      |                           |
| tts:waiting_since:{model}    | zset   | job of which something waits by its last turn     | fair queue      |                           |
| tts:turns:{model}            | zset   | owner by its cost so far                          | fair queue      |                           |
| tts:turns:{model}:{owner}    | zset   | job by its cost so far                            | fair queue      |                           |
| tts:clock                    | hash   | key of turns: cost at which a newcomer starts     | fair queue      |                           |
| tts:waiting:{job}            | zset   | waiting segment by its number                     | fair queue      |                           |
| tts:suspects:{model}         | zset   | segment to be spoken alone, by when it was queued | fair queue      |                           |
| tts:reservation:{segment}    | hash   | the worker that is to speak a suspect, and when   | claim           | 10 s                      |
| tts:alone:{worker}           | string | the suspect that it speaks, or is to speak next   | claim           | 1 day, or 10 s            |
| tts:answered:{question}      | string | the segment that answered a claim                 | claim           | 20 s                      |
| tts:leases                   | zset   | claimed segment by when its lease ends            | steps           |                           |
| tts:paused                   | hash   | model of which nothing is claimed: since when     | pause           | until resumed             |
| tts:retrying:{job}           | zset   | segment of a failed job to be spoken again        | retry           | 1 h, or into the queue    |
| tts:reconciled_at            | string | when a worker last reconciled                     | reconcile       |                           |
| tts:counts                   | hash   | event, detail, model: how often it happened       | steps           | for good                  |
| tts:pace:{slot}[:samples]    | number | segments, or samples, committed in a slot of 10 s | commit          | 70 s                      |
| tts:batch:{batch}            | hash   | the batch's record and how its jobs ended         | batch steps     | ttl after its end         |
| tts:batch:{batch}:lines      | list   | a line's custom id and its job's id (JSON)        | batch steps     | with its batch            |
| tts:voice:{voice}            | hash   | owner, name, record (JSON), created_at            | voice steps     | until deleted             |
| tts:voices:{owner}           | hash   | name: voice                                       | voice steps     |                           |
| tts:voice_folders            | zset   | voice whose folder may be left, by since when     | voice steps     |                           |
| tts:webhooks                 | zset   | receiver by when its next event is due            | webhook steps   |                           |
| tts:webhooks:{receiver}      | zset   | event by when it is due                           | webhook steps   |                           |
| tts:webhook:{event}          | hash   | the event, its attempts, why it was given up      | webhook steps   | kept_s once given up      |
| tts:webhook_busy:{receiver}  | string | the event that is being delivered                 | webhook steps   | one lease                 |
| tts:webhooks_failed:{signer} | zset   | event that was given up by when                   | webhook_settle  | kept_s                    |
| tts:webhook_secrets:{signer} | zset   | secret by when it is used no more                 | webhook_secrets |                           |
| tts:models                   | hash   | model: its card (JSON)                            | workers         | until forgotten           |
| tts:models:seen              | zset   | model by when a worker last signed in             | workers         | until forgotten           |
| tts:weights                  | hash   | model: the fingerprint of its weights             | weights         | until forgotten           |
| tts:workers:{model}          | zset   | worker by when its presence ends                  | workers         |                           |
| tts:worker:{worker}          | string | what the worker is and does (JSON)                | workers         | 20 s                      |
| tts:draining:{worker}        | string | since when the worker claims nothing              | drain           | 10 min after the worker   |
| tts:audit                    | stream | an operator's action, by whom, its outcome        | API             | the newest 10,000         |
| tts:keys                     | hash   | API key's id: its record (JSON), revoked or not   | keys command    | for good                  |
| tts:keys:version             | string | random: another one after each change of the keys | keys command    | for good                  |
| tts:keys:open                | string | random: a process found that no key was ever made | API             | until a key is made       |
| tts:live:{segment}           | stream | PCM of an attempt on its way to listeners         | worker          | 60 s after its last entry |
| tts:ledger                   | hash   | newest version that wrote here, oldest that may   | agree           |                           |
| tts:storage_id               | string | the storage that belongs to this Redis            | first process   |                           |
| tts:probe                    | string | random: written and read to show that Redis works | health check    | 60 s                      |
| tts.{model}                  | list   | Celery's messages: wake-ups for a model's workers | publisher       |                           |
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Keys of one kind: a pattern with `{}` for each part."""

    pattern: str

    def __call__(self, *parts: object) -> str:
        """The key of these parts."""
        return self.pattern.format(*parts)


JOBS, ENDED, LEFTOVERS = "tts:jobs", "tts:ended", "tts:leftovers"
ADMITTING, ADMITTING_SEGMENTS = "tts:admitting", "tts:admitting_segments"
DELETING, FORGOTTEN, DEADLINES = "tts:deleting", "tts:forgotten", "tts:deadlines"
OPEN_JOBS, OPEN_CHARS = "tts:open_jobs", "tts:open_chars"
OPEN_SEGMENTS, OPEN_BYTES = "tts:open_segments", "tts:open_bytes"
QUEUES, QUEUES_BY_PRIORITY = "tts:queues", "tts:queues_by_priority"
CLOCK, LEASES, COUNTS = "tts:clock", "tts:leases", "tts:counts"
RECONCILED_AT, PAUSED, AUDIT = "tts:reconciled_at", "tts:paused", "tts:audit"
VOICE_FOLDERS, RECEIVERS = "tts:voice_folders", "tts:webhooks"
MODELS, MODELS_SEEN, WEIGHTS = "tts:models", "tts:models:seen", "tts:weights"
API_KEYS, API_KEYS_VERSION, API_KEYS_OPEN = "tts:keys", "tts:keys:version", "tts:keys:open"
LEDGER, STORAGE_ID, PROBE = "tts:ledger", "tts:storage_id", "tts:probe"

job, segment = Family("tts:job:{}"), Family("tts:segment:{}")
history = Family("tts:history:{}")
idempotency, listeners = Family("tts:idempotency:{}:{}"), Family("tts:listeners:{}")
owner_jobs, usage = Family("tts:jobs:{}"), Family("tts:used:{}:{}")
turns, owner_turns = Family("tts:turns:{}"), Family("tts:turns:{}:{}")
waiting, suspects = Family("tts:waiting:{}"), Family("tts:suspects:{}")
waiting_since = Family("tts:waiting_since:{}")
reservation, alone = Family("tts:reservation:{}"), Family("tts:alone:{}")
answered, pace = Family("tts:answered:{}"), Family("tts:pace:{}{}")
batch, batch_lines = Family("tts:batch:{}"), Family("tts:batch:{}:lines")
voice, owner_voices = Family("tts:voice:{}"), Family("tts:voices:{}")
events, event = Family("tts:webhooks:{}"), Family("tts:webhook:{}")
busy, failed_events = Family("tts:webhook_busy:{}"), Family("tts:webhooks_failed:{}")
webhook_secrets = Family("tts:webhook_secrets:{}")
retrying, draining = Family("tts:retrying:{}"), Family("tts:draining:{}")
worker = Family("tts:worker:{}")
workers, live_audio = Family("tts:workers:{}"), Family("tts:live:{}")
messages = Family("tts.{}")

_SINGLE = {name: key for name, key in globals().items() if isinstance(key, str) and name.isupper()}
_FAMILIES = {name: kind for name, kind in globals().items() if isinstance(kind, Family)}


def lua_names(source: str) -> str:
    """The definitions, in Lua, of the keys that a source names."""
    words = set(re.findall(r"\w+", source))
    single = (f"local {name} = '{key}'\n" for name, key in _SINGLE.items() if name in words)
    families = (
        _lua_function(f"{name}_key", kind.pattern)
        for name, kind in _FAMILIES.items()
        if f"{name}_key" in words
    )
    return "".join([*single, *families])


def _lua_function(name: str, pattern: str) -> str:
    """A key of a family in Lua: `local function job_key(a) return 'tts:job:' .. a end`."""
    first, *others = pattern.split("{}")
    parts = "abc"[: len(others)]
    joined = "".join(
        f" .. {part}" + (f" .. '{text}'" if text else "")
        for part, text in zip(parts, others, strict=True)
    )
    return f"local function {name}({', '.join(parts)}) return '{first}'{joined} end\n"
