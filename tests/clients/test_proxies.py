"""Debian's nginx and Caddy in front of the server, with the files of deploy/proxies."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest
import trustme
from playwright.sync_api import Browser, expect

from client import Narrator
from client.local.ports import free_port
from client.local.stack import Stack
from tests.clients.conftest import FOLDER, Start
from tests.support.audio_files import pcm, recording
from tests.support.page_object import WITHIN_MS, Sheet
from tests.support.paths import ROOT
from tests.support.processes import wait_until

PROXIES = ROOT / "deploy" / "proxies"
DEBIAN = FOLDER / "debian"
PROGRAMS = {"nginx": "usr/sbin/nginx", "caddy": "usr/bin/caddy"}
NAME, SERVER = "tts.example.com", "127.0.0.1:8000"
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
{site}
}}
"""
CADDY = """\
{{
    admin off
    http_port {plain}
}}
{site}
"""


@dataclass(frozen=True)
class Site:
    """A proxy as one of the shipped files sets it: its URL of the server's root, and its ports."""

    url: str
    prefix: str
    port: int
    plain_port: int


def shipped(name: str, changes: dict[str, str]) -> str:
    """A shipped file, with the test's ports, names and files in the place of its own."""
    text = (PROXIES / name).read_text("utf-8")
    for theirs, ours in changes.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    return text


def nginx_site(site: Site, server: str, folder: Path) -> str:
    if site.prefix:
        inner = shipped("nginx-sub-path.conf", {SERVER: server})
        return f"server {{ listen 127.0.0.1:{site.port}; {inner} }}"
    changes = {
        SERVER: server,
        NAME: "localhost",
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl http2;\n": "",
        "listen 80;": f"listen 127.0.0.1:{site.plain_port};",
        "listen 443": f"listen 127.0.0.1:{site.port}",
        "/etc/ssl/localhost": str(folder),
    }
    return shipped("nginx.conf", changes)


def caddy_site(site: Site, server: str, folder: Path) -> str:
    if site.prefix:
        inner = shipped("Caddyfile-sub-path", {SERVER: server})
        return f"http://127.0.0.1:{site.port} {{\nbind 127.0.0.1\n{inner}\n}}"
    own = f"https://localhost:{site.port} {{\nbind 127.0.0.1\n"
    tls = f"tls {folder}/fullchain.pem {folder}/key.pem\n"
    return shipped("Caddyfile", {SERVER: server, f"\n{NAME} {{\n": f"\n{own}{tls}"})


def trust_certificate(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Write a certificate for localhost, which httpx then trusts."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "fullchain.pem")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    patch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
    patch.delenv("SSL_CERT_DIR", raising=False)
    # Our client reads such variables for other machines' servers only; this one stands for those.
    patch.setattr("client.http._is_loopback", lambda _: False)


@pytest.fixture(params=["nginx", "nginx /tts", "caddy", "caddy /tts"])
def site(
    request: pytest.FixtureRequest,
    stack: Stack,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    name, _, prefix = request.param.partition(" ")
    port, server = free_port(), f"127.0.0.1:{stack.port}"
    root = f"http://127.0.0.1:{port}{prefix}" if prefix else f"https://localhost:{port}"
    site = Site(root, prefix, port, free_port())
    if not prefix:
        trust_certificate(tmp_path, monkeypatch)
    file, program = tmp_path / name, DEBIAN / name / PROGRAMS[name]
    found = program if program.exists() else shutil.which(name)
    assert found, f"{name} is not installed: make clients"
    if name == "nginx":
        inner = nginx_site(site, server, tmp_path)
        file.write_text(NGINX.format(folder=tmp_path, site=inner))
        command = (found, "-e", "stderr", "-p", tmp_path, "-c", file)
    else:
        inner = caddy_site(site, server, tmp_path)
        file.write_text(CADDY.format(plain=site.plain_port, site=inner))
        command = (found, "run", "--adapter", "caddyfile", "--config", file)
    start(name, *command, port=port)
    return site


@pytest.fixture
def proxy(site: Site) -> str:
    """The URL of the server's root, as the proxy shows it."""
    return site.url


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


def test_links_are_those_of_the_proxy(site: Site) -> None:
    asked = {"task": "custom_voice", "voice": "vivian", "input": TEXT}
    host, prefix = site.url.removesuffix(site.prefix), site.prefix
    with httpx.Client(base_url=host, timeout=60) as client:
        accepted = client.post(f"{prefix}/v1/jobs", json=asked)
        location = accepted.headers["location"]
        assert location.startswith(f"{prefix}/v1/jobs/job_")
        assert accepted.json()["links"]["self"] == location
        # An event comes before the job has ended: the proxy keeps none back.
        with client.stream("GET", f"{location}/events") as events:
            lines = events.iter_lines()
            assert next(lines) in ("event: queued", "event: in_progress")
            seen = [line for line in lines if line.startswith("event: ")]
        assert seen[-1] == "event: completed"
        assert client.get(f"{location}/content", headers={"Range": "bytes=0-3"}).content == b"RIFF"
        assert client.get(f"{prefix}/docs").is_success
        description = client.get(f"{prefix}/openapi.json").json()
        # A client's own word for the path is not taken.
        chosen = {"X-Forwarded-Prefix": "/elsewhere", "X-Forwarded-Host": "elsewhere.test"}
        links = client.get(location, headers=chosen).json()["links"]
        assert links["self"] == location
    assert description.get("servers", []) == ([{"url": prefix}] if prefix else [])


def test_plain_http_is_sent_to_tls(site: Site) -> None:
    if site.prefix:
        pytest.skip("a path belongs to a site that has its own rule")
    answer = httpx.get(f"http://localhost:{site.plain_port}/v1/models")
    assert answer.status_code in (301, 308)
    assert answer.headers["location"].startswith("https://localhost")
    assert "max-age=31536000" in httpx.get(site.url).headers["strict-transport-security"]


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
    with browser.new_context(ignore_https_errors=True) as context:
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
