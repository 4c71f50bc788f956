"""Many jobs sent as one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from api.app import create_app
from shared.errors import Unavailable
from shared.jobs import SegmentResult
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.batches import Batches
from shared.store.ledger import Ledger
from shared.store.workers import WorkerRegistry
from tests.support.ledger_state import LedgerState
from tests.support.valid_job import VALID_JOB

JSONL = {"Content-Type": "application/jsonl"}


def lines(*bodies: Any, **change: Any) -> str:
    """A line for each body, named by letters."""
    made = (
        {"custom_id": chr(97 + n), "method": "POST", "url": "/v1/jobs", "body": body} | change
        for n, body in enumerate(bodies)
    )
    return "\n".join(map(json.dumps, made))


def send(api: TestClient, content: str, **headers: str) -> Any:
    return api.post("/v1/batches", content=content, headers=JSONL | headers)


def speak(redis: Redis, jobs: int) -> None:
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    for _ in range(jobs):
        claim = ledger.claim("tiny-CustomVoice")
        while claim is not None:
            claim = ledger.commit(claim, SegmentResult(key="k", samples=12_000))


def output(api: TestClient, batch: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.get(batch["links"]["output"])
    assert answer.headers["content-type"].startswith("application/jsonl")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_batch_is_accepted_counted_and_told(api: TestClient, redis: Redis) -> None:
    answer = send(api, lines(VALID_JOB, VALID_JOB | {"input": "Other."}, VALID_JOB) + "\n\n")
    assert answer.status_code == 202
    batch = answer.json()
    assert answer.headers["Location"] == batch["links"]["self"]
    assert (batch["object"], batch["status"], batch["endpoint"]) == (
        *("batch", "in_progress", "/v1/jobs"),
    )
    assert batch["request_counts"] == {"total": 3, "completed": 0, "failed": 0}
    assert output(api, batch) == []
    speak(redis, 2)
    ledger = Ledger(redis, lease_s=10, max_attempts=3)
    assert [line["custom_id"] for line in output(api, batch)] == ["a", "b"]
    last = ledger.claim("tiny-CustomVoice")
    assert last is not None
    ledger.fail(last, "synthesis_failed", "no voice")
    batch = api.get(batch["links"]["self"]).json()
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert batch["expires_at"] > batch["completed_at"] >= batch["created_at"]
    told = output(api, batch)
    assert [line["custom_id"] for line in told] == ["a", "b", "c"]
    assert told[0]["response"]["status_code"] == 200
    assert told[0]["response"]["body"]["status"] == "completed"
    assert told[2]["response"] is None
    assert told[2]["error"] == {"code": "synthesis_failed", "message": "no voice"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no lines"),
        ("nonsense", "line 1: the body is not valid JSON"),
        (lines(VALID_JOB) + "\n{}", "line 2: custom_id"),
        (lines(VALID_JOB, custom_id=""), "line 1: custom_id"),
        (lines(VALID_JOB, VALID_JOB, custom_id="x"), "line 2: custom_id 'x' was used before"),
        (lines(VALID_JOB, url="/v1/chat/completions"), "line 1: url"),
        (
            lines(VALID_JOB, VALID_JOB | {"voice": "nobody"}),
            "line 2: tiny-CustomVoice has no voice 'nobody'",
        ),
        (lines(VALID_JOB | {"pitch": 2}), "line 1: body.pitch"),
        (lines({"input": "Hi"}), "line 1: body.task must be one of"),
        (lines(VALID_JOB, stream=True), "line 1: stream"),
        (
            lines(VALID_JOB, VALID_JOB | {"input": "<html>", "input_format": "markdown"}),
            "line 2: the file is HTML",
        ),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_queued(
    api: TestClient, redis: Redis, content: str, says: str
) -> None:
    answer = send(api, content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(says) or says in answer.text
    assert redis.keys("tts:job:*") + redis.keys("tts:batch:*") == []


BAD = [
    "nonsense",
    lines(VALID_JOB | {"voice": "nobody"}, custom_id="y"),
    lines(VALID_JOB | {"input": "…"}, custom_id="x"),
]


def test_all_bad_lines_are_named_at_once(api: TestClient, redis: Redis) -> None:
    error = send(api, "\n".join([lines(VALID_JOB), *BAD])).json()["error"]
    assert error["message"].startswith("line 2: the body is not valid JSON")
    assert error["message"].endswith("(2 more lines are wrong)")
    assert [each["line"] for each in error["lines"]] == [2, 3, 4]
    assert error["lines"][1]["message"].startswith("tiny-CustomVoice has no voice 'nobody'")
    assert error["lines"][2] == {
        "line": 4,
        "message": "the input has nothing to speak in it: send a text with letters or digits",
        "param": "input",
        "code": "invalid_value",
    }
    assert redis.keys("tts:batch:*") == []


def test_of_many_bad_lines_a_hundred_are_named(api: TestClient) -> None:
    error = send(api, "\n".join(["{}"] * 150)).json()["error"]
    assert len(error["lines"]) == 100


@pytest.mark.parametrize("bad", BAD)
def test_an_error_that_is_of_no_batch_names_no_lines(api: TestClient, bad: str) -> None:
    assert "lines" not in api.post("/v1/jobs", json={}).json()["error"]
    (line,) = send(api, bad).json()["error"]["lines"]
    assert line["line"] == 1


def test_bad_lines_may_be_skipped(api: TestClient, redis: Redis) -> None:
    content = "\n".join([BAD[0], lines(VALID_JOB, VALID_JOB), lines({}, custom_id="z")])
    answer = api.post("/v1/batches?on_invalid=skip", content=content, headers=JSONL)
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert batch["request_counts"] == {"total": 4, "completed": 0, "failed": 2}
    told = output(api, batch)
    assert [(each["custom_id"], each["error"]["code"]) for each in told] == [
        ("line 1", "invalid_value"),
        ("z", "invalid_value"),
    ]
    assert told[1]["error"]["message"].startswith("line 4: body.task must be one of")
    speak(redis, 2)
    assert [each["custom_id"] for each in output(api, batch)] == ["line 1", "a", "b", "z"]
    ended = api.get(batch["links"]["self"]).json()
    assert ended["status"] == "completed"
    assert ended["request_counts"] == {"total": 4, "completed": 2, "failed": 2}


def test_a_batch_without_a_good_line_is_refused(api: TestClient, redis: Redis) -> None:
    url = "/v1/batches?on_invalid=skip"
    answer = api.post(url, content="\n".join(BAD), headers=JSONL)
    assert (answer.status_code, len(answer.json()["error"]["lines"])) == (400, 3)
    wrong = api.post("/v1/batches?on_invalid=x", content=lines(VALID_JOB), headers=JSONL)
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "on_invalid")
    assert redis.keys("tts:batch:*") == []


def test_a_byte_order_mark_is_no_part_of_a_line(api: TestClient) -> None:
    assert send(api, "\ufeff" + lines(VALID_JOB)).status_code == 202


def test_a_batch_that_does_not_say_what_it_is_is_refused(api: TestClient) -> None:
    answer = api.post("/v1/batches", json=[VALID_JOB])
    assert (answer.status_code, answer.json()["error"]["param"]) == (415, "Content-Type")


def test_the_same_batch_sent_again_is_the_same_batch(api: TestClient, redis: Redis) -> None:
    content = lines(VALID_JOB, VALID_JOB)
    first, again = (send(api, content, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert redis.zcard("tts:jobs") == 2
    other = send(api, lines(VALID_JOB), **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")


def test_what_was_cut_off_is_finished_when_it_is_sent_again(
    api: TestClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, key = lines(VALID_JOB, VALID_JOB, VALID_JOB), {"Idempotency-Key": "k"}
    admit, calls = Ledger.admit, []

    def dies(self: Ledger, *args: Any, **kwargs: Any) -> str:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("as if the process died here")
        return admit(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "admit", dies)
        assert send(api, content, **key).status_code == 500
    assert redis.zcard("tts:jobs") == 2
    speak(redis, 2)
    batch = send(api, content, **key).json()
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 0}
    assert redis.zcard("tts:jobs") == 3
    speak(redis, 1)
    assert len(output(api, batch)) == 3


def test_a_batch_is_accepted_whole_or_not_at_all(
    settings: Settings, redis: Redis, card: ModelCard
) -> None:
    WorkerRegistry(redis).sign_in("w", card)
    content, key = lines(VALID_JOB, VALID_JOB, VALID_JOB), {"Idempotency-Key": "k"}
    with TestClient(create_app(settings.model_copy(update={"max_open_jobs": 3}))) as api:
        assert api.post("/v1/jobs", json=VALID_JOB).status_code == 202
        refused = send(api, content, **key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
        assert redis.keys("tts:batch:*") == []
        LedgerState.read(redis).check()
        assert redis.hget("tts:queues", card.id) == "1"
        speak(redis, 1)
        batch = send(api, content, **key).json()
        assert batch["status"] == "in_progress"
        speak(redis, 3)
        assert len(output(api, batch)) == 3
        assert send(api, lines(*[VALID_JOB] * 4)).status_code == 400


def test_an_accepted_batch_that_is_sent_again_stays_whatever_happens(
    api: TestClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, key = lines(VALID_JOB, VALID_JOB), {"Idempotency-Key": "k"}
    batch = send(api, content, **key).json()

    def away(*_: Any, **__: Any) -> str:
        raise Unavailable("Redis is away")

    monkeypatch.setattr(Ledger, "admit", away)
    assert send(api, content, **key).json()["id"] == batch["id"]
    speak(redis, 2)
    assert len(output(api, batch)) == 2


def test_of_a_batch_sent_twice_at_once_one_that_fails_takes_nothing_from_the_other(
    api: TestClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, key = lines(VALID_JOB, VALID_JOB), {"Idempotency-Key": "k"}
    admit, answers = Ledger.admit, []

    def fails(*_: Any, **__: Any) -> str:
        monkeypatch.setattr(Ledger, "admit", admit)
        answers.append(send(api, content, **key))  # the other is faster
        raise Unavailable("Redis is away")

    monkeypatch.setattr(Ledger, "admit", fails)
    assert send(api, content, **key).status_code == 503
    speak(redis, 2)
    assert len(output(api, answers[0].json())) == 2


def test_a_batch_that_went_meanwhile_is_not_half_there(redis: Redis) -> None:
    batches = Batches(redis)
    with pytest.raises(Unavailable):
        batches.admitted("b", [])
    batches.cancelling("b")
    assert redis.keys("tts:batch:*") == []


def test_an_ended_batch_cannot_be_cancelled(api: TestClient, redis: Redis) -> None:
    batch = send(api, lines(VALID_JOB)).json()
    speak(redis, 1)
    assert api.post(f"{batch['links']['self']}/cancel").json()["status"] == "completed"


def test_a_cancelled_batch_ends_its_jobs(api: TestClient, redis: Redis) -> None:
    batch = send(api, lines(VALID_JOB, VALID_JOB, VALID_JOB)).json()
    speak(redis, 1)
    cancelled = api.post(f"{batch['links']['self']}/cancel").json()
    assert cancelled["status"] == "cancelled"
    assert cancelled["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    assert [line["error"] and line["error"]["code"] for line in output(api, batch)] == [
        *(None, "cancelled", "cancelled"),
    ]
    assert not redis.exists("tts:queues")


def test_a_batch_goes_some_time_after_its_last_job(
    api: TestClient, redis: Redis, settings: Settings
) -> None:
    batch = send(api, lines(VALID_JOB, VALID_JOB)).json()
    keys = [f"tts:batch:{batch['id']}", f"tts:batch:{batch['id']}:lines"]
    assert [redis.ttl(key) for key in keys] == [-1, -1]
    speak(redis, 2)
    for key in keys:
        assert settings.result_ttl_s - 5 < redis.ttl(key) <= settings.result_ttl_s


def test_a_line_whose_job_has_expired_says_so(api: TestClient, redis: Redis) -> None:
    batch = send(api, lines(VALID_JOB)).json()
    speak(redis, 1)
    (line,) = output(api, batch)
    Ledger(redis, lease_s=10, max_attempts=3).forget(line["response"]["request_id"])
    assert output(api, batch)[0]["error"]["code"] == "job_not_found"


@pytest.mark.parametrize("path", ["", "/output"])
def test_a_batch_that_is_not_there_is_404(api: TestClient, path: str) -> None:
    for name in ("nobody", "batch_1:lines"):
        answer = api.get(f"/v1/batches/{name}{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "batch_not_found")
