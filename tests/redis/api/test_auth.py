"""API keys: their scopes, and tenants that do not see the records of other tenants."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.__main__ import check_address
from api.app import create_app
from client import cli
from client.local.data_folder import REDIS_URL_FILE
from client.local.ports import free_port
from client.local.redis_server import RedisServer
from shared.errors import InvalidSetting, Unavailable
from shared.jobs import SegmentResult, SpeechSpec
from shared.settings import Settings
from shared.speech_model import Task
from shared.store.api_keys import ApiKeys, Quota, Scope
from shared.store.connection import connect
from shared.store.ledger import Ledger
from tests.support.api_key_header import bearer
from tests.support.http_probe import answers
from tests.support.plain_segments import plain
from tests.support.processes import wait_until
from tests.support.valid_job import VALID_JOB


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_key_is_kept_as_a_hash_and_found_by_its_token(keys: ApiKeys, redis: Redis) -> None:
    key, token = keys.create("phone")
    assert keys.look().find(token) == key
    secret = token.removeprefix(f"tts_{key.id}_")
    assert secret not in json.dumps(redis.hgetall("tts:keys"))
    for wrong in ("", "tts_", token[:-1], token + "x", f"sk_{token[4:]}", "tts_nobody_x", "\udc00"):
        assert keys.look().find(wrong) is None


def test_a_revoked_key_opens_nothing_and_the_server_stays_closed(
    api: TestClient, keys: ApiKeys
) -> None:
    assert api.get("/v1/jobs").status_code == 200
    key, token = keys.create("phone")
    assert error_of(api.get("/v1/jobs")) == (401, "invalid_api_key")
    assert api.get("/v1/jobs").headers["WWW-Authenticate"] == "Bearer"
    assert api.get("/v1/jobs", headers=bearer(token)).status_code == 200
    keys.revoke(key.id)
    assert error_of(api.get("/v1/jobs", headers=bearer(token))) == (401, "invalid_api_key")
    assert error_of(api.get("/v1/jobs")) == (401, "invalid_api_key")


def test_a_required_key_is_asked_for_before_there_is_one(settings: Settings, redis: Redis) -> None:
    redis.flushall()
    closed = settings.model_copy(update={"auth": "required"})
    with TestClient(create_app(closed)) as api:
        assert error_of(api.get("/v1/jobs")) == (401, "invalid_api_key")
        assert api.get("/healthz").status_code == 200


def test_a_key_does_what_its_scopes_say(api: TestClient, keys: ApiKeys) -> None:
    _, reads = keys.create("reader", owner="me", scopes=(Scope.READ,))
    _, speaks = keys.create("speaker", owner="me", scopes=(Scope.SPEAK,))
    assert error_of(api.post("/v1/jobs", json=VALID_JOB, headers=bearer(reads))) == (
        403,
        "forbidden",
    )
    job = api.post("/v1/jobs", json=VALID_JOB, headers=bearer(speaks)).json()
    url = job["links"]["self"]
    assert api.get(url, headers=bearer(reads)).status_code == 200
    assert error_of(api.get(url, headers=bearer(speaks))) == (403, "forbidden")
    assert error_of(api.post(f"{url}/cancel", headers=bearer(reads))) == (403, "forbidden")
    assert error_of(api.delete(url, headers=bearer(reads))) == (403, "forbidden")


def test_tenants_do_not_see_each_other(api: TestClient, keys: ApiKeys) -> None:
    mine, other = (bearer(keys.create(name)[1]) for name in ("mine", "other"))
    job = api.put("/v1/jobs/chapter-1", json=VALID_JOB, headers=mine).json()
    assert job["id"] == "chapter-1"
    by_id = api.get("/v1/jobs", headers=mine).json()["last_id"]
    line = {"custom_id": "1", "url": "/v1/jobs", "body": VALID_JOB}
    batch = api.post(
        "/v1/batches",
        content=json.dumps(line),
        headers={**mine, "Content-Type": "application/jsonl"},
    ).json()["id"]
    routes = [
        (method, f"/v1/jobs/{job_id}{rest}")
        for job_id in ("chapter-1", by_id)
        for method, rest in (
            ("GET", ""),
            ("GET", "/events"),
            ("GET", "/content"),
            ("GET", "/timings"),
            ("GET", "/subtitles"),
            ("GET", "/chapters/1/content"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        )
    ]
    routes += [("GET", f"/v1/batches/{batch}"), ("GET", f"/v1/batches/{batch}/output")]
    routes += [("POST", f"/v1/batches/{batch}/cancel")]
    for method, url in routes:
        answer = api.request(method, url, headers=other)
        assert answer.status_code == 404, (method, url)
        assert api.request(method, url).status_code == 401, (method, url)
    assert api.get("/v1/jobs", headers=other).json()["data"] == []
    assert api.get("/v1/jobs/chapter-1", headers=mine).json()["status"] == "queued"
    theirs = api.put("/v1/jobs/chapter-1", json=VALID_JOB | {"input": "Mine."}, headers=other)
    assert theirs.status_code == 202


def test_a_key_has_its_own_quota(api: TestClient, keys: ApiKeys, redis: Redis) -> None:
    few = Quota(open_jobs=1, chars_per_day=40, audio_s_per_day=10)
    key, token = keys.create("few", quota=few)
    job = api.post("/v1/jobs", json=VALID_JOB, headers=bearer(token)).json()
    assert error_of(api.post("/v1/jobs", json=VALID_JOB, headers=bearer(token))) == (
        429,
        "quota_exceeded",
    )
    api.post(f"/v1/jobs/{job['id']}/cancel", headers=bearer(token))
    long = VALID_JOB | {"input": "A sentence of more than forty characters."}
    refused = api.post("/v1/jobs", json=long, headers=bearer(token))
    assert error_of(refused) == (429, "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"
    (used,) = redis.keys(f"tts:used:*:{key.owner}")
    redis.hset(used, "samples", 10 * 24_000)
    assert error_of(api.post("/v1/jobs", json=VALID_JOB, headers=bearer(token))) == (
        429,
        "insufficient_quota",
    )


def test_a_made_up_token_is_no_new_owner_on_an_open_server(
    settings: Settings, redis: Redis, api: TestClient
) -> None:
    assert api.get("/readyz").status_code == 200
    few = settings.model_copy(update={"max_open_jobs": 3})
    with TestClient(create_app(few)) as server:
        sent = [
            server.post("/v1/jobs", json=VALID_JOB, headers=bearer(f"made-up-{n}") if n else {})
            for n in range(5)
        ]
        assert [answer.status_code for answer in sent] == [202, 202, 202, 429, 429]
        owners = {redis.hget(f"tts:job:{job.json()['id']}", "owner") for job in sent[:3]}
        assert owners == {"public"}
        # Of another version, which took tokens for owners: still there for all.
        spec = SpeechSpec(task=Task.CUSTOM_VOICE, model="tiny-CustomVoice", voice="vivian")
        ledger = Ledger(redis, lease_s=1, max_attempts=3)
        ledger.admit("job_old", spec, plain(["x"]), owner="5e884898da28047151d0e56f8dc62927")
        assert server.get("/v1/jobs/job_old", headers=bearer("none")).status_code == 200
        listed = server.get("/v1/jobs").json()["data"]
        assert "job_old" in {job["id"] for job in listed}
        assert server.delete("/v1/jobs/job_old").status_code == 200


def test_what_is_expected_counts_for_the_day_until_it_is_spoken(
    ledger: Ledger, redis: Redis
) -> None:
    spec = SpeechSpec(task=Task.CUSTOM_VOICE, model="m")
    ledger.admit("a", spec, plain(["one", "two"]), owner="me")
    (used,) = redis.keys("tts:used:*:me")
    expected = {"chars": "40", "samples": str(2 * 12 * 1_920)}
    assert redis.hgetall(used) == expected
    join = None
    for _ in range(2):
        claim = ledger.claim("m")
        assert claim is not None
        join = ledger.commit(claim, SegmentResult(key="k", samples=480))
        assert redis.hgetall(used) == expected
    assert join is not None
    ledger.commit(join, SegmentResult(key="k", samples=1_000))
    assert redis.hgetall(used) == expected | {"samples": "1000"}
    assert redis.ttl(used) > 86_400


def test_a_day_that_is_forgotten_stays_so(ledger: Ledger, redis: Redis) -> None:
    """A job that ends days after it was accepted."""
    spec = SpeechSpec(task=Task.CUSTOM_VOICE, model="m")
    ledger.admit("a", spec, plain(["one"]), owner="me")
    redis.delete(*redis.keys("tts:used:*"))
    ledger.cancel("a")
    assert redis.keys("tts:used:*") == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://testserver"}, 202),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:8000"}, 202),
        ({"Host": "[::1]:8000"}, 202),
        ({"Host": "[::"}, 403),
        ({"Host": "tts.example"}, 202),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Host": "a.localhost"}, 202),
        ({"Host": "host.docker.internal:8000"}, 202),
        ({"Host": "Host.Docker.INTERNAL"}, 202),
        ({"Host": "nas.local"}, 202),
        ({"Host": "nas.local.:8000"}, 202),
        ({"Host": "tts.home.arpa"}, 202),
        ({"Host": "tts.ci.test"}, 202),
        ({"Host": "TTS.Example."}, 202),
        ({"Host": "Upper.Example"}, 202),
        ({"Host": "arpa.evil"}, 403),
        ({"Host": "evil.arpa"}, 403),
        ({"Host": "host.docker.internal.evil.example"}, 403),
        ({"Host": "evil.notlocal"}, 403),
        ({"Host": "evil.example#.local"}, 403),
        ({"Host": "evil.example/.local"}, 403),
        ({"Host": "evil.example?x.local"}, 403),
        ({"Host": "nas.local:80@evil.example"}, 403),
        ({"Host": "host.docker.internal", "Origin": "http://host.docker.internal"}, 202),
        ({"Host": "host.docker.internal", "Origin": "http://evil.example"}, 403),
    ],
)
@pytest.mark.parametrize("auth", ["auto", "open"])
def test_an_open_server_takes_nothing_from_strange_pages(
    api: TestClient, settings: Settings, headers: dict[str, str], status: int, auth: str
) -> None:
    assert api.get("/readyz").status_code == 200
    known = settings.model_copy(update={"auth": auth, "hosts": "nas.lan tts.example Upper.Example"})
    with TestClient(create_app(known)) as server:
        assert server.post("/v1/jobs", json=VALID_JOB, headers=headers).status_code == status


def test_a_strange_name_is_told_the_setting(api: TestClient) -> None:
    answer = api.get("/v1/models", headers={"Host": "tts.evil.example"})
    assert answer.status_code == 403
    assert "TTS_HOSTS" in answer.json()["error"]["message"]


def test_with_keys_a_page_from_elsewhere_may_send(api: TestClient, keys: ApiKeys) -> None:
    _, token = keys.create("page")
    headers = {**bearer(token), "Origin": "http://elsewhere.example", "Host": "tts.example"}
    assert api.post("/v1/jobs", json=VALID_JOB, headers=headers).status_code == 202


def test_keys_are_made_listed_and_revoked_by_command(
    redis_server: RedisServer, keys: ApiKeys, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / REDIS_URL_FILE).write_text(redis_server.url)
    where = ["--data", str(tmp_path)]
    made = ["create", "phone", "--scope", "read", "--chars-per-day", "500", "--owner", "alice"]
    assert cli.main(["keys", *where, *made]) == 0
    told = capfd.readouterr()
    assert "The first key" in told.err
    found = keys.look().find(told.out.strip())
    assert found is not None
    assert (found.owner, found.scopes, found.quota.chars_per_day) == ("alice", (Scope.READ,), 500)
    assert cli.main(["keys", "revoke", found.id, *where]) == 0
    assert cli.main(["keys", "list", *where]) == 0
    shown = capfd.readouterr().out
    assert "revoked" in shown
    assert "chars_per_day=500" in shown
    assert cli.main(["keys", "revoke", "nobody", *where]) == 1
    assert cli.main(["keys", "create", "x", "--open-jobs", "-1", *where]) == 2
    assert cli.main(["keys", "create", "x", "--owner", "a:b", *where]) == 2
    assert cli.main(["keys", "list", "--data", str(tmp_path / "none")]) == 1
    assert "narrate up" in capfd.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "tts.example"])
def test_without_keys_only_this_machine_is_listened_to(
    host: str, settings: Settings, keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidSetting, match="TTS_AUTH=open"):
        check_address(host, settings)
    check_address(host, settings.model_copy(update={"auth": "open"}))
    check_address(host, settings.model_copy(update={"auth": "required"}))
    for here in ("127.0.0.1", "::1", "localhost"):
        check_address(here, settings)
    keys.create("phone")
    monkeypatch.setenv("TTS_AUTH", "auto")
    check_address(host, settings)
    assert Settings.load().auth == "required"  # even if Redis loses the keys


def test_one_look_at_a_silent_redis_is_enough_for_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        keys = ApiKeys(connect(url, answers_within_s=0.5))
        with ThreadPoolExecutor(8) as callers:
            begun = time.monotonic()
            looks = [callers.submit(keys.look) for _ in range(8)]
            assert all(isinstance(look.exception(), Unavailable) for look in looks)
        assert time.monotonic() - begun < 3


def test_nobody_waits_for_two_looks() -> None:
    """Who is told looks again at once, and must not get ahead of those who still wait."""
    looks_s = 1.0

    def call(keys: ApiKeys) -> float:
        longest = 0.0
        for _ in range(3):
            came = time.monotonic()
            with pytest.raises(Unavailable):
                keys.look()
            longest = max(longest, time.monotonic() - came)
        return longest

    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(20) as callers:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        keys = ApiKeys(connect(url, answers_within_s=looks_s))
        calls = [callers.submit(call, keys) for _ in range(20)]
        longest_s = max(called.result() for called in calls)
    assert longest_s < 1.8 * looks_s


def test_the_api_starts_without_a_warning(settings: Settings, tmp_path: Path) -> None:
    port = str(free_port("127.0.0.1"))
    command = [sys.executable, "-W", "error", "-m", "api", "--port", port]
    env = {
        **os.environ,
        "TTS_REDIS_URL": settings.redis_url,
        "TTS_STORAGE_URL": settings.storage_url,
    }
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stderr=log)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 30)
    finally:
        server.terminate()
        server.wait()
    assert "Warning" not in (tmp_path / "log").read_text()
