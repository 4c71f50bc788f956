"""A recording of a ledger by the version whose code is on PYTHONPATH; see README.md beside this.

It uses only what each version has: the HTTP API, claims and commits, and helpers of its tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from client.local.redis_server import RedisServer
from shared.jobs import Claim, SegmentResult
from shared.models import ModelCard
from shared.settings import Settings
from shared.speech_model import Task
from shared.storage import Storage
from shared.storage_paths import segments_folder
from shared.store.api_keys import ApiKeys, KeyMark, Quota
from shared.store.connection import connect
from shared.store.ledger import Ledger
from tests.support.audio_files import recording
from tests.support.registered_workers import sign_in
from tests.support.valid_job import VALID_JOB
from worker.join import join_job

HOOK = "https://receiver.example/hook"
# Three segments.
LONG = " ".join(["Spoken in part by a worker that is gone before the rest of it is."] * 8)
# Keys with a shorter lifetime are gone before a recording is read.
MIN_LIFETIME_S = 3_600
READ: dict[str, Callable[[Redis, str], object]] = {
    "string": lambda redis, key: redis.get(key),
    "hash": lambda redis, key: redis.hgetall(key),
    "list": lambda redis, key: redis.lrange(key, 0, -1),
    "zset": lambda redis, key: redis.zrange(key, 0, -1, withscores=True),
}


class Recorder:
    """A client and a worker; the jobs that they make are in `facts` by what became of them."""

    def __init__(self, redis: Redis, settings: Settings, storage: Storage) -> None:
        self.facts: dict[str, str] = {}
        self._settings, self._storage = settings, storage
        self._ledger = Ledger(redis, lease_s=10, max_attempts=3, worker="a worker that is gone")
        keys = ApiKeys(redis, KeyMark(storage))
        key, token = keys.create("app", owner="anna", quota=Quota(chars_per_day=100_000))
        self._headers = {"Authorization": f"Bearer {token}"}
        self.facts |= {"key": key.id, "token": token}

    def record(self) -> None:
        """Make one job of each kind; claims come first, while nothing else waits."""
        with self._idle_api() as api:
            self._submit(api, "completed", webhook=HOOK)
            self._complete()
        with self._started_api() as api:
            self._submit(api, "failed", input=LONG)
            self._speak(self._claim())
            self._ledger.fail(self._claim(), "synthesis_failed", "ValueError: a text of the test")
            self._submit(api, "cancelled")
            api.post(f"/v1/jobs/{self.facts['cancelled']}/cancel").raise_for_status()
            self._submit(api, "leased", input=LONG)
            self._speak(self._claim())
            self._claim()
            self._send_batch(api)
            self._submit(api, "idempotent", {"Idempotency-Key": "once"}, input="Sent with a key.")
            self._clone(api)
        with self._idle_api() as api:
            self._submit(api, "queued", input="Queued.", webhook=HOOK, metadata={"book": "one"})

    @contextmanager
    def _started_api(self) -> Iterator[TestClient]:
        """It publishes messages, and would deliver webhooks."""
        app = create_app(self._settings.model_copy(update={"webhook_targets": "off"}))
        with TestClient(app, headers=self._headers) as api:
            yield api

    @contextmanager
    def _idle_api(self) -> Iterator[TestClient]:
        """It accepts webhooks and delivers none, since its threads are not started."""
        app = create_app(self._settings)
        yield TestClient(app, headers=self._headers)
        asyncio.run(app.state.services.close())

    def _submit(
        self, api: TestClient, name: str, headers: dict[str, str] | None = None, **changes: Any
    ) -> None:
        answer = api.post("/v1/jobs", json=VALID_JOB | changes, headers=headers)
        self.facts[name] = answer.raise_for_status().json()["id"]

    def _send_batch(self, api: TestClient) -> None:
        lines = (
            {
                "custom_id": f"line {number}",
                "method": "POST",
                "url": "/v1/jobs",
                "body": VALID_JOB | {"input": f"Number {number} of two."},
            }
            for number in (1, 2)
        )
        content = "\n".join(map(json.dumps, lines))
        headers = {"Content-Type": "application/jsonl"}
        answer = api.post("/v1/batches", content=content, headers=headers)
        self.facts["batch"] = answer.raise_for_status().json()["id"]

    def _clone(self, api: TestClient) -> None:
        fields = {"name": "Anna", "consent": "Anna agreed in writing", "ref_text": "It was late."}
        files = {"audio_sample": ("anna.wav", recording(2.5), "audio/wav")}
        answer = api.post("/v1/audio/voices", data=fields, files=files)
        self.facts["voice"] = voice = answer.raise_for_status().json()["id"]
        self._submit(api, "clone", task="voice_clone", voice=voice, input="Cloned.")

    def _claim(self) -> Claim:
        claim = self._ledger.claim("tiny-CustomVoice")
        assert claim is not None
        return claim

    def _speak(self, claim: Claim) -> Claim | None:
        """The claim of the job's join, if this was its last segment."""
        key = f"{segments_folder(claim.job_id)}/{claim.index}-{claim.epoch}.wav"
        self._storage.put(key, recording(0.5))
        return self._ledger.commit(claim, SegmentResult(key=key, samples=12_000))

    def _complete(self) -> None:
        claim = self._speak(self._claim())
        assert claim is not None
        job = self._ledger.job(claim.job_id)
        spoken = list(self._ledger.spoken(job))
        joined = join_job(job, spoken, claim.epoch, self._storage, self._storage.get)
        result = SegmentResult(key=joined.key, samples=joined.samples)
        self._ledger.commit(claim, result, size_bytes=joined.size_bytes)


def dump(redis: Redis) -> dict[str, object]:
    """Each key of the service that is there to stay, with its type and its content."""
    rows: dict[str, object] = {}
    for key in sorted(redis.keys("tts*")):
        if 0 <= redis.ttl(key) < MIN_LIFETIME_S:
            continue
        kind = redis.type(key)
        rows[key] = {"type": kind, "value": READ[kind](redis, key)}
    return rows


def main(folder: Path) -> None:
    """Write `redis.json` and `storage.tar.xz` to a folder."""
    card = ModelCard(
        id="tiny-CustomVoice",
        task=Task.CUSTOM_VOICE,
        size="0.6B",
        voices=("ryan", "vivian"),
        languages=("auto", "english", "chinese"),
        instructions=False,
    )
    with tempfile.TemporaryDirectory() as temporary:
        results = Path(temporary) / "results"
        log = Path(temporary) / "redis.log"
        with (
            RedisServer(Path(temporary) / "redis", log=log) as server,
            connect(server.url) as redis,
        ):
            settings = Settings(redis_url=server.url, storage_url=results.as_uri())
            sign_in(redis, card)
            recorder = Recorder(redis, settings, Storage.open(settings.storage_url))
            recorder.record()
            recorded = {"facts": recorder.facts, "keys": dump(redis)}
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(recorded, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / "redis.json").write_text(text + "\n", "utf-8")
        with tarfile.open(folder / "storage.tar.xz", "w:xz") as tar:
            for path in sorted(results.iterdir()):
                tar.add(path, path.name, filter=_without_owner)


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main(Path(sys.argv[1]))
