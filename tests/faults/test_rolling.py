"""Faults 24 and 25: every process is replaced by another one, one at a time, under load."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from client import Narrator
from client.local.ports import free_port
from tests.faults.conftest import REPORT
from tests.faults.service import Service, wait_for
from tests.faults.trial import SHORT, Trial, long_text, meanwhile, times
from tests.support.forwarder import Forwarder

DRAIN_S = 2.0


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def send(client: httpx.Client, statuses: list[int]) -> None:
    """One request of a client that tries nothing again: whatever fails is raised."""
    statuses.append(client.get("/v1/models").status_code)


def accept(client: httpx.Client, trial: Trial, statuses: list[int]) -> None:
    body = {"input": SHORT, "task": "custom_voice", "voice": "vivian"}
    answer = client.post("/v1/jobs", json=body)
    statuses.append(answer.status_code)
    trial.expected[answer.json()["id"]] = "completed"


def replace_api(service: Service, proxy: Forwarder, number: int) -> None:
    """Start another process of the API, lead the proxy to it, and stop the one before."""
    port, before = free_port(), service.api
    service.api = service.launch_api(port, f"api-{number}.log")
    wait_for(lambda: is_ready(f"http://127.0.0.1:{port}"), 60)
    proxy.to = port
    os.kill(before.pid, signal.SIGTERM)
    wait_for(lambda: before.exit_code is not None, DRAIN_S + 30)
    assert before.exit_code == 0


def test_no_request_fails_while_the_api_is_replaced(tmp_path: Path) -> None:
    statuses: list[int] = []
    with (
        Service(tmp_path, TTS_API_DRAIN_S=str(DRAIN_S), TTS_LOG_REQUESTS="0") as service,
        Forwarder(service.api_port) as proxy,
        httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", timeout=30) as client,
        httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", timeout=30) as submitter,
    ):
        trial = Trial(service, REPORT, tmp_path)
        trial.narrator = Narrator(f"http://127.0.0.1:{proxy.port}")
        wait_for(lambda: is_ready(service.url), 60)
        with trial.row("24 the API is replaced under load") as row:
            with (
                meanwhile(lambda: send(client, statuses), every_s=0.01),
                meanwhile(lambda: accept(submitter, trial, statuses), every_s=0.3),
            ):
                for number in range(times(10, 2)):
                    began_s = time.monotonic()
                    replace_api(service, proxy, number)
                    row.recovered(time.monotonic() - began_s)
            failed = [status for status in statuses if status >= 400]
            row.note = f"{len(statuses)} requests, {len(failed)} failed"
            assert not failed
        trial.close()
        trial.narrator.close()


def test_all_workers_are_replaced(trial: Trial) -> None:
    """Each worker in turn is told to stop, drains, and another one takes its place."""
    service, text = trial.service, long_text(6)
    with trial.row("25 every worker is replaced under load") as row:
        for _ in range(times(5, 1)):
            service.wait_for_workers()
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda _: trial.submit(text), range(4)))
            for keeper in service.keepers:
                child = keeper.child
                began_s = time.monotonic()
                os.kill(child.pid, signal.SIGTERM)
                wait_for(lambda child=child: child.exit_code is not None, 30)
                assert child.exit_code == 0
                service.wait_for_workers()
                row.recovered(time.monotonic() - began_s)
            trial.wait(trial.expected)
