"""Debian's nginx and Caddy in front of the server, set as docs/operations.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from playwright.sync_api import Browser, expect

from client import Narrator
from client.local.ports import free_port
from client.local.stack import Stack
from tests.clients.conftest import FOLDER, Start
from tests.support.audio_files import pcm, recording
from tests.support.page_object import WITHIN_MS, Sheet
from tests.support.paths import ROOT
from tests.support.processes import wait_until

PREFIX = "/tts"
DEBIAN = FOLDER / "debian"
TEXT = "\n\n".join(f"Paragraph {n}. It has [pause 0.1s] some sentences." for n in range(12))
NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
{documented}
    }}
}}
"""
CADDY = """\
{{
    admin off
}}
http://127.0.0.1:{port} {{
    bind 127.0.0.1
{documented}
}}
"""


def documented(language: str, server_port: int) -> str:
    """The configuration that the page shows, with the port of our server."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return str(found).replace("127.0.0.1:8000", f"127.0.0.1:{server_port}")


@pytest.fixture(params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, stack: Stack, start: Start, tmp_path: Path
) -> Iterator[str]:
    """The URL of the server's root, as the proxy shows it."""
    name, port = request.param, free_port()
    file = tmp_path / name
    form = NGINX if name == "nginx" else CADDY
    file.write_text(
        form.format(folder=tmp_path, port=port, documented=documented(name, stack.port))
    )
    if name == "nginx":
        command = (DEBIAN / "nginx/usr/sbin/nginx", "-e", "stderr", "-p", tmp_path, "-c", file)
    else:
        command = (
            DEBIAN / "caddy/usr/bin/caddy",
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            file,
        )
    start(name, *command, port=port)
    return f"http://127.0.0.1:{port}{PREFIX}"


def test_speech_is_heard_while_it_is_spoken(proxy: str, stack: Stack) -> None:
    with openai.OpenAI(api_key="any", base_url=f"{proxy}/v1", max_retries=0) as client:
        asked = {"model": "tts-1", "voice": "alloy", "input": TEXT, "response_format": "pcm"}
        with client.audio.speech.with_streaming_response.create(**asked) as answer:
            sound = answer.iter_bytes()
            next(sound)
            with Narrator(stack.url) as narrator:
                assert narrator.job(answer.headers["x-job-id"]).status == "in_progress"
            assert len(b"".join(sound)) > 24_000


def test_jobs_are_submitted_followed_and_fetched(proxy: str, tmp_path: Path) -> None:
    book = tmp_path / "lamp.md"
    book.write_text("# One\n\nThe lamp was lit.\n\n# Two\n\nIt went out.")
    with Narrator(proxy) as narrator:
        narrated = narrator.narrate(book, tmp_path / "lamp.wav", voice="vivian")
    assert narrated.status == "completed"
    assert len(pcm(tmp_path / "lamp.wav")) > 24_000


def test_links_have_the_prefix(proxy: str) -> None:
    asked = {"task": "custom_voice", "voice": "vivian", "input": TEXT}
    host = proxy.removesuffix(PREFIX)
    with httpx.Client(base_url=host, timeout=60) as client:
        accepted = client.post(f"{PREFIX}/v1/jobs", json=asked)
        location = accepted.headers["location"]
        assert location.startswith(f"{PREFIX}/v1/jobs/job_")
        assert accepted.json()["links"]["self"] == location
        # An event comes before the job has ended: the proxy keeps none back.
        with client.stream("GET", f"{location}/events") as events:
            lines = events.iter_lines()
            assert next(lines) in ("event: queued", "event: in_progress")
            seen = [line for line in lines if line.startswith("event: ")]
        assert seen[-1] == "event: completed"
        assert client.get(f"{location}/content", headers={"Range": "bytes=0-3"}).content == b"RIFF"
        assert client.get(f"{PREFIX}/docs").is_success
        description = client.get(f"{PREFIX}/openapi.json").json()
    assert [server["url"] for server in description["servers"]] == [PREFIX]


def test_a_large_recording_is_uploaded(proxy: str) -> None:
    sample = recording(40.0)
    assert len(sample) > 1_500_000  # more than nginx takes unless it is told to
    answer = httpx.post(
        f"{proxy}/v1/audio/voices",
        data={"name": "Large", "consent": "It is my own"},
        files={"audio_sample": ("large.wav", sample)},
        timeout=120,
    )
    assert answer.status_code == 201, answer.text
    assert httpx.delete(f"{proxy}/v1/audio/voices/{answer.json()['id']}").is_success


def test_the_page_works_under_the_prefix(proxy: str, browser: Browser) -> None:
    with browser.new_context() as context:
        context.set_default_timeout(WITHIN_MS)
        page, failed = context.new_page(), []
        page.on("requestfailed", lambda request: failed.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(proxy)
        sheet = Sheet(page)
        row = sheet.submit("The lamp was lit.")
        expect(row.locator(".state")).to_contain_text("Done · 0:", timeout=60_000)
        sheet.listen(row)
        wait_until(lambda: sheet.at_s() > 0.1, 30)
        assert page.url == f"{proxy}/"
        assert failed == []
