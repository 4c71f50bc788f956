"""The life of a job by the command and over HTTP, with a worker that speaks noise."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from client import Narrator
from client.cli import main
from shared.models import ModelCard
from shared.settings import Settings
from shared.store import keys
from shared.store.api_keys import ApiKeys
from tests.support.live_server import serving
from tests.support.registered_workers import sign_in
from tests.support.stub_worker import speaking
from tests.support.valid_job import VALID_JOB


@pytest.fixture
def url(settings: Settings, redis: Redis, card: ModelCard) -> Iterator[str]:
    sign_in(redis, card)
    with serving(settings) as url:
        yield url


def submit(url: str, **headers: str) -> str:
    answer = httpx.post(f"{url}/v1/jobs", json=VALID_JOB, headers=headers)
    return str(answer.raise_for_status().json()["id"])


def test_a_followed_job_is_told_to_its_end(
    url: str, settings: Settings, card: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    job = submit(url, **{"x-request-id": "r1"})
    assert main(["logs", job, "--url", url]) == 0
    accepted, queued = capsys.readouterr().out.splitlines()
    assert accepted.endswith("job          accepted, 1 segment, request r1")
    assert "queued" in queued
    with speaking(settings, [card]):
        assert main(["logs", job, "--follow", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [accepted, queued]
    said = [line[31:] for line in lines[2:]]
    by = f"by stub of {card.id}"
    assert said == [
        f"segment 0    claimed, attempt 1, {by}",
        f"join         claimed, attempt 1, {by}",
        f"job          joined into one file, {by}",
        "job          completed",
    ]


def test_the_entries_as_json_are_those_of_the_server(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = submit(url)
    assert main(["logs", job, "--json", "--url", url]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    path = f"{url}/v1/jobs/{job}/history"
    whole = httpx.get(path).json()
    assert printed == whole["data"]
    assert [each["event"] for each in whole["data"]] == ["accepted", "queued"]
    assert httpx.get(path, params={"after": whole["next"]}).json()["data"] == []
    assert httpx.get(path, params={"after": 1}).json()["data"] == whole["data"][1:]


def test_a_job_of_an_older_version_says_that_it_has_none(
    url: str, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    job = submit(url)
    redis.delete(keys.history(job))
    assert main(["logs", job, "--follow", "--url", url]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (
        "",
        "this job was accepted by a version of the server that kept no histories\n",
    )


def test_a_history_is_its_owners(url: str, redis: Redis) -> None:
    keys_ = ApiKeys(redis)
    _, ann = keys_.create("a", owner="ann")
    _, ben = keys_.create("b", owner="ben")
    with Narrator(url, key=ann) as narrator:
        job = narrator.submit("Hello.", voice="vivian").id
        assert narrator.history(job).entries[0].event == "accepted"
    answer = httpx.get(f"{url}/v1/jobs/{job}/history", headers={"x-api-key": ben})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
