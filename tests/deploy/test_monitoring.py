"""The dashboard and the alerts, against a real scrape of an API and a worker, and by promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from api.app import create_app
from client.local.ports import free_port
from client.local.redis_server import RedisServer
from shared.errors import Unavailable
from shared.jobs import SpeechSpec
from shared.metrics import redis_step, storage_operation
from shared.models import ModelCard
from shared.settings import Settings
from shared.store.ledger import Ledger
from tests.support.paths import ROOT
from tests.support.plain_segments import plain
from tests.support.registered_workers import sign_in
from tests.support.stub_worker import speaking
from worker.metrics import HEARTBEATS_MISSED, LEASES_LOST, serve_metrics

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "queue.json").read_text())
QUERIES = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
GUIDE = (ROOT / "docs" / "monitoring.md").read_text()
# What Prometheus itself adds.
UP, ADDED = "up", {"job", "instance"}
NAME = re.compile(r"\b(?:tts|process)_[a-z0-9_]+\b|\bup\b")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool: make monitoring-tools"
)
Labels = dict[str, set[str]]


def read(text: str) -> Iterator[tuple[str, str, set[str]]]:
    """The family, the name and the labels of each sample."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield family.name, sample.name, set(sample.labels)


@pytest.fixture
def scraped(
    redis: Redis, redis_server: RedisServer, results: Path, card: ModelCard, spec: SpeechSpec
) -> list[tuple[str, str, set[str]]]:
    """A scrape of an API and of a worker, after a job, a failed one and speech at once."""
    settings = Settings(redis_url=redis_server.url, storage_url=results.as_uri())
    ledger, port = Ledger(redis, lease_s=10, max_attempts=3), free_port()
    ledger.admit("j", spec, plain(["one"]))
    claim = ledger.claim(card.id)
    assert claim is not None
    ledger.fail(claim, "synthesis_failed", "no")
    for measured in (redis_step("x"), storage_operation("x")):
        with pytest.raises(Unavailable), measured:
            raise Unavailable("away")
    HEARTBEATS_MISSED.inc()
    LEASES_LOST.inc()
    serve_metrics("127.0.0.1", port)
    sign_in(redis, card)
    with TestClient(create_app(settings)) as api, speaking(settings, [card]):
        spoken = api.post("/v1/audio/speech", json={"input": "A word.", "response_format": "wav"})
        assert spoken.status_code == 200, spoken.text
        text = api.get("/metrics").text
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            of_worker = answer.read().decode()
    return [*read(text), *read(of_worker)]


def table() -> Labels:
    """The labels of each metric in the guide's table."""
    rows = re.findall(r"^\| `(tts_\w+)` \|([^|]*)\|", GUIDE, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def test_what_is_scraped_is_in_the_guide_and_every_query_finds_it(
    scraped: list[tuple[str, str, set[str]]],
) -> None:
    kinds = {"le"}
    families = {family: labels - kinds for family, _, labels in scraped if family[:4] == "tts_"}
    assert {name.removesuffix("_total"): labels for name, labels in table().items()} == families
    samples: Labels = {UP: set()}
    for _, name, labels in scraped:
        samples.setdefault(name, set()).update(labels)
    for query in QUERIES:
        names = set(NAME.findall(query))
        assert names
        assert names <= set(samples), query
        matched = re.findall(r"(\w+)\s*(?:=~|=|!=)\s*\"", query)
        grouped = re.findall(r"(?:by|on) \(([^)]*)\)", query)
        used = {*matched, *(label.strip() for part in grouped for label in part.split(","))}
        assert used <= ADDED.union(*(samples[name] for name in names)), query


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    headings = {each.lower() for each in re.findall(r"^### (\w+)$", GUIDE, re.MULTILINE)}
    for rule in RULES:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor) == ("docs/monitoring.md", rule["alert"].lower())
        assert anchor in headings
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")
    assert headings == {rule["alert"].lower() for rule in RULES}


@needs_promtool
def test_the_configuration_is_valid() -> None:
    for what in (["config", "--syntax-only", "prometheus.yml"], ["rules", "alerts.yml"]):
        ran = subprocess.run(
            ["promtool", "check", *what], cwd=PROMETHEUS, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


FIRST = 'ledger="first"'
API, WORKER = 'job="tts-api",instance="a:8000"', 'job="tts-worker",instance="w:9101"'
M = f'{FIRST},model="m"'
GROWS, STAYS = "0+10x60", "0+0x60"
# The series with which each alert fires within an hour, a value a minute.
FIRES: dict[str, dict[str, str]] = {
    "TtsApiDown": {f"up{{{API}}}": "0x60"},
    "TtsWorkerDown": {f"up{{{WORKER}}}": "0x60"},
    "TtsRedisDown": {f"tts_redis_up{{{FIRST}}}": "0x60"},
    "TtsStorageDown": {f'tts_check_ok{{{FIRST},check="storage"}}': "0x60"},
    "TtsNoWorker": {
        f"tts_workers{{{M}}}": "0x60",
        f'tts_segments_queued{{{M},priority="normal"}}': "3x60",
    },
    "TtsOldestWait": {f"tts_oldest_wait_seconds{{{M}}}": "700+60x60"},
    "TtsJobsFail": {
        f'tts_jobs_ended_total{{{M},outcome="failed"}}': "0+1x60",
        f'tts_jobs_ended_total{{{M},outcome="completed"}}': "0+10x60",
    },
    "TtsLeasesLost": {f'tts_segments_requeued_total{{{M},reason="lost"}}': "0+1x60"},
    "TtsAttemptsFail": {f'tts_segments_requeued_total{{{M},reason="failed"}}': "0+1x60"},
    "TtsSegmentsGivenUp": {f'tts_segments_given_up_total{{{M},reason="lost"}}': "0x55 1x5"},
    "TtsTruncated": {
        f"tts_segments_truncated_total{{{M}}}": "0+1x60",
        f"tts_segments_completed_total{{{M}}}": "0+10x60",
    },
    "TtsHeartbeatsMissed": {f"tts_worker_heartbeats_missed_total{{{WORKER}}}": GROWS},
    "TtsRedisMemory": {
        f"tts_redis_memory_bytes{{{FIRST}}}": "90x60",
        f"tts_redis_memory_max_bytes{{{FIRST}}}": "100x60",
    },
    "TtsRedisSlow": {
        f'tts_redis_seconds_bucket{{{API},step="claim",le="0.1"}}': STAYS,
        f'tts_redis_seconds_bucket{{{API},step="claim",le="0.25"}}': GROWS,
        f'tts_redis_seconds_bucket{{{API},step="claim",le="+Inf"}}': GROWS,
    },
    "TtsWebhooksFail": {f'tts_webhook_deliveries_total{{{FIRST},outcome="given_up"}}': "0x55 1x5"},
    "TtsHttpErrors": {
        f'tts_http_request_seconds_count{{{API},status="5xx"}}': "0+1x60",
        f'tts_http_request_seconds_count{{{API},status="2xx"}}': GROWS,
    },
    "TtsFirstSoundSlow": {
        f'tts_first_sound_seconds_bucket{{{API},model="m",le="5"}}': STAYS,
        f'tts_first_sound_seconds_bucket{{{API},model="m",le="10"}}': GROWS,
        f'tts_first_sound_seconds_bucket{{{API},model="m",le="+Inf"}}': GROWS,
    },
    "TtsStepsSlow": {
        f'tts_engine_step_seconds_bucket{{{WORKER},model="m",le="0.25"}}': STAYS,
        f'tts_engine_step_seconds_bucket{{{WORKER},model="m",le="1"}}': GROWS,
        f'tts_engine_step_seconds_bucket{{{WORKER},model="m",le="+Inf"}}': GROWS,
    },
    "TtsWorkerMemory": {
        f"process_resident_memory_bytes{{{WORKER}}}": "1000000000+10000000x60",
        f"process_start_time_seconds{{{WORKER}}}": "-20000x60",
    },
}
HEALTHY = {
    f"up{{{API}}}": "1x60",
    f"up{{{WORKER}}}": "1x60",
    f"tts_redis_up{{{FIRST}}}": "1x60",
    f'tts_check_ok{{{FIRST},check="storage"}}': "1x60",
    f"tts_workers{{{M}}}": "1x60",
    f'tts_segments_queued{{{M},priority="normal"}}': "3x60",
    f"tts_oldest_wait_seconds{{{M}}}": "5x60",
    f'tts_jobs_ended_total{{{M},outcome="failed"}}': STAYS,
    f'tts_jobs_ended_total{{{M},outcome="completed"}}': GROWS,
    f'tts_segments_requeued_total{{{M},reason="lost"}}': STAYS,
    f'tts_segments_requeued_total{{{M},reason="released"}}': GROWS,
    f"process_resident_memory_bytes{{{WORKER}}}": "5000000000x60",
    f"tts_redis_memory_bytes{{{FIRST}}}": "90x60",
    f"tts_redis_memory_max_bytes{{{FIRST}}}": "0x60",  # no limit
}


def case(series: dict[str, str], expected: list[str]) -> dict[str, object]:
    """A test of promtool: these alerts fire, and no other."""
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": "60m", "exp_samples": samples}],
    }


@needs_promtool
def test_each_alert_fires_alone_and_a_healthy_service_has_none(tmp_path: Path) -> None:
    assert set(FIRES) == {rule["alert"] for rule in RULES}
    api_up = {f"up{{{API}}}": "1x60"}
    cases = [case(HEALTHY, [])]
    cases += [case(api_up | series, [name]) for name, series in FIRES.items()]
    tests = {"rule_files": [str(PROMETHEUS / "alerts.yml")], "tests": cases}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    ran = subprocess.run(
        ["promtool", "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
