"""deploy/systemd: units that systemd reads, with time to end and without rights."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from client.local.ports import free_port
from client.local.process import Child, stop
from client.local.redis_server import answers_ping, find_program
from shared.settings import Settings
from tests.support.paths import ROOT
from tests.support.processes import wait_until

UNITS = ROOT / "deploy" / "systemd"
NAMES = sorted(path.name for path in UNITS.glob("*.service"))
SHUTDOWN_S = 2  # of a worker, beside TTS_DRAIN_S
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


class Unit(ConfigParser):
    """The last value of each option of a unit; options are case-sensitive."""

    def __init__(self, name: str) -> None:
        super().__init__(interpolation=None, strict=False)
        self.read(UNITS / name)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def variables() -> dict[str, str]:
    """The variables of env.example."""
    lines = (UNITS / "env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))


def installed(name: str, folder: Path) -> Path:
    """A unit whose programs are this machine's own."""
    text = (UNITS / name).read_text()
    text = text.replace("/opt/qwen-tts-queue/bin/python", sys.executable)
    unit = folder / name
    unit.write_text(text.replace("/usr/bin/redis-server", find_program()))
    return unit


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_the_unit(name: str, tmp_path: Path) -> None:
    command = ("systemd-analyze", "verify", "--man=no", installed(name, tmp_path))
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_the_unit_is_hardly_exposed(name: str, tmp_path: Path) -> None:
    """At most 2.0 of 10, by systemd's own measure."""
    command = ("systemd-analyze", "security", "--offline=yes", "--threshold=20")
    ran = subprocess.run(
        [*command, installed(name, tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_started_anew_by_the_services_user(name: str) -> None:
    service = Unit(name)["Service"]
    assert (service["User"], service["Restart"], service["NoNewPrivileges"]) == (
        "tts",
        "always",
        "yes",
    )
    assert re.search(r"^u tts 10001 ", (UNITS / "sysusers.conf").read_text(), re.MULTILINE)


def test_a_worker_has_time_to_drain() -> None:
    service = Unit("qwen-tts-worker@.service")["Service"]
    assert float(service["TimeoutStopSec"]) > float(variables()["TTS_DRAIN_S"]) + SHUTDOWN_S


def test_the_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables().items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.auth == "required"
    folder = settings.storage_url.removeprefix("file:///var/lib/")
    for name in ("qwen-tts-api.service", "qwen-tts-worker@.service"):
        assert folder in Unit(name)["Service"]["StateDirectory"].split()


def test_the_commands_are_those_of_the_images() -> None:
    """The images' own are tried elsewhere, with `--help`."""
    argv = re.findall(r"^CMD (.*)$", (ROOT / "Dockerfile.api").read_text(), re.MULTILINE)
    of_image = [*json.loads(argv[-1])[1:]]
    of_image[of_image.index("--host") + 1] = "127.0.0.1"
    assert Unit("qwen-tts-api.service")["Service"]["ExecStart"].split()[1:] == of_image
    started = Unit("qwen-tts-worker@.service")["Service"]["ExecStart"].split()[1:]
    assert started == ["-m", "worker", "--model", "%I"]


def test_redis_starts_with_its_file(tmp_path: Path) -> None:
    text, port = (UNITS / "redis.conf.example").read_text(), free_port()
    assert variables()["TTS_REDIS_URL"] == "redis://:PASSWORD@127.0.0.1:6380/0"
    for there, here in (
        ("port 6380", f"port {port}"),
        ("/var/lib/qwen-tts-redis", str(tmp_path)),
        ("127.0.0.1 ::1", "127.0.0.1"),
    ):
        assert there in text
        text = text.replace(there, here)
    file = tmp_path / "redis.conf"
    file.write_text(text)
    child = Child("Redis", [find_program(), str(file)], log=tmp_path / "log")
    try:
        wait_until(lambda: answers_ping(port, "PASSWORD"), 30)
    finally:
        stop([child], 30)
    assert (tmp_path / "appendonlydir").is_dir()
