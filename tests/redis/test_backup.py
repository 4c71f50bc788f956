"""A backup of Redis that is older than the storage: everything in it still ends, and says so."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastapi.testclient import TestClient

from api.app import create_app
from client.local.redis_server import RedisServer
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.connection import connect
from shared.store.workers import WorkerRegistry
from tests.support.processes import wait_until
from tests.support.stub_worker import speaking
from tests.support.valid_job import VALID_JOB

AOF = "appendonlydir"


def settings_of(server: RedisServer, results: Path) -> Settings:
    return Settings(redis_url=server.url, storage_url=results.as_uri(), webhook_targets="off")


def submit(api: TestClient, text: str) -> str:
    answer = api.post("/v1/jobs", json=VALID_JOB | {"input": text})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait_for_end(api: TestClient, job: str) -> None:
    wait_until(lambda: api.get(f"/v1/jobs/{job}").json()["status"] == "completed", 60)


def test_a_restored_ledger_goes_on(tmp_path: Path, results: Path, card: ModelCard) -> None:
    with RedisServer(tmp_path / "redis", log=tmp_path / "log") as server:
        known = settings_of(server, results)
        with TestClient(create_app(known)) as api:
            with speaking(known, [card]):
                wait_until(lambda: api.get("/v1/models").json()["data"])
                kept, deleted = submit(api, "Kept."), submit(api, "Deleted later.")
                for job in (kept, deleted):
                    wait_for_end(api, job)
            queued = submit(api, "Queued in the backup.")
            # As docs/backup.md says: no rewrite while the files are copied.
            with connect(server.url) as redis:
                redis.config_set("auto-aof-rewrite-percentage", 0)
                wait_until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])
            shutil.copytree(tmp_path / "redis" / AOF, tmp_path / "backup" / AOF)
            with speaking(known, [card]):
                wait_for_end(api, queued)
                later = submit(api, "After the backup.")
                wait_for_end(api, later)
            assert api.delete(f"/v1/jobs/{deleted}").status_code in (200, 202, 204)
            wait_until(lambda: not list(results.rglob(f"{deleted}/*")), 60)
    with RedisServer(tmp_path / "backup", log=tmp_path / "log") as server:
        known = settings_of(server, results)
        with connect(server.url) as redis:
            WorkerRegistry(redis).sign_in("w", card)
        with TestClient(create_app(known)) as api, speaking(known, [card]):
            wait_for_end(api, queued)
            assert api.get(f"/v1/jobs/{kept}/content").content[:4] == b"RIFF"
            assert api.get(f"/v1/jobs/{queued}/content").content[:4] == b"RIFF"
            # What the files lack is an error of that job's audio alone.
            assert api.get(f"/v1/jobs/{deleted}").json()["status"] == "completed"
            assert api.get(f"/v1/jobs/{deleted}/content").status_code in (404, 410, 503)
            assert api.get(f"/v1/jobs/{later}").status_code == 404
