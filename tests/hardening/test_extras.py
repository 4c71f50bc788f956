"""Each extra, installed alone as its image does it: together they speak, as processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from client.local.ports import free_port
from client.local.process import Child, stop
from client.local.redis_server import RedisServer
from tests.support.paths import ROOT
from tests.support.processes import wait_until

TORCH = next(iter(re.findall(r"torch==[\d.]+", (ROOT / "pyproject.toml").read_text())))
MINUTES = 60  # in seconds
# What an image copies besides `shared`; the client has no image.
PACKAGES = {"api": "api", "worker": "worker", "client": "client"}
# Every module, also those that are imported at a first use only, but that of the extra `tracing`.
IMPORT_ALL = """
import importlib, pkgutil, sys
for package in sys.argv[1:]:
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        if not module.name.endswith(("__main__", "shared.otel")):
            importlib.import_module(module.name)
"""


def install(extra: str, folder: Path) -> Path:
    """Make an environment with nothing but one extra; returns the folder of its programs."""
    source, environment = folder / f"{extra}-source", folder / extra
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("shared", PACKAGES[extra]):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip: list[str | Path] = [
        environment / "bin" / "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    # Bytecode is made of what is used, and not of all that torch brings.
    pip.append("--no-compile")
    if extra == "worker" and (index := os.environ.get("TORCH_INDEX")):
        subprocess.run([*pip, "--index-url", index, TORCH], check=True, cwd=folder)
    subprocess.run([*pip, f"{source}[{extra}]"], check=True, cwd=folder)
    return environment / "bin"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("extras")
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda extra: install(extra, folder), PACKAGES)
        return dict(zip(PACKAGES, made, strict=True))


class Service:
    """Redis, and the API and a worker from environments of their own."""

    def __init__(self, programs: dict[str, Path], redis: RedisServer, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        # Nothing of the tests' own environment, in which everything is installed.
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TTS_REDIS_URL": redis.url,
            "TTS_STORAGE_URL": (folder / "results").as_uri(),
            "NARRATE_URL": self.url,
            "TTS_THREADS": "1",
        }
        self.children = [
            self._start("api", "-m", "api", "--port", str(port)),
            self._start("worker", "-m", "worker", "--model", "tiny"),
        ]

    def _start(self, extra: str, *arguments: str) -> Child:
        python = str(self.programs[extra] / "python")
        return Child(extra, [python, *arguments], env=self.env, log=self.folder / f"{extra}.log")

    def is_ready(self) -> bool:
        for child in self.children:
            child.check()
        try:
            return bool(httpx.get(f"{self.url}/readyz").json().get("workers"))
        except httpx.TransportError:
            return False

    def ran(self, extra: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.programs[extra] / program, *arguments],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def narrate(self, *arguments: str) -> str:
        ran = self.ran("client", "narrate", *arguments)
        assert ran.returncode == 0, ran.stderr + self.logs()
        return ran.stdout

    def logs(self) -> str:
        return "".join(child.log.read_text() for child in self.children if child.log)


@pytest.fixture(scope="module")
def service(
    programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with RedisServer(folder / "redis", log=folder / "redis.log") as redis:
        service = Service(programs, redis, folder)
        try:
            wait_until(service.is_ready, 180)
            yield service
        finally:
            stop(service.children, 20)


@pytest.mark.timeout(20 * MINUTES)
@pytest.mark.parametrize("extra", PACKAGES)
def test_every_module_of_an_extra_can_be_imported(extra: str, programs: dict[str, Path]) -> None:
    command = [programs[extra] / "python", "-P", "-c", IMPORT_ALL, PACKAGES[extra]]
    if extra != "client":
        command.append("shared")
    subprocess.run(command, check=True, env={"PATH": os.environ["PATH"]})


def test_they_speak_together(service: Service) -> None:
    service.narrate("say", "The lamp was lit.", "-o", "lamp.wav")
    assert (service.folder / "lamp.wav").read_bytes()[:4] == b"RIFF"
    book = service.folder / "book.md"
    book.write_text("# One\n\nThe lamp was lit.\n\n# Two\n\nIt went out.")
    service.narrate("book.md", "-o", "book.m4b")
    assert (service.folder / "book.m4b").stat().st_size > 1_000
    spoken = httpx.post(
        f"{service.url}/v1/audio/speech",
        json={"model": "tts-1", "voice": "alloy", "input": "It went out.", "speed": 1.25},
        timeout=60,
    )
    assert spoken.is_success
    assert spoken.content
    service.narrate("voices", "add", "lamp.wav", "--name", "mine", "--consent", "It is my own")
    assert "mine" in service.narrate("voices")
    # A background thread that died of a missing package would have left it there.
    assert "Traceback" not in service.logs()


def test_each_command_works_where_a_message_names_it(service: Service) -> None:
    assert service.ran("worker", "python", "-m", "worker.health").returncode == 0
    for name in ("keys", "models"):
        for program in (("narrate", name), ("python", "-m", f"api.{name}")):
            assert service.ran("api", *program, "list").returncode == 0
    for extra in ("api", "worker"):
        ran = service.ran(extra, "narrate", "say", "x")
        assert ran.returncode == 1
        assert "pip install 'qwen-tts-queue[client]'" in ran.stderr
        assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(("extra", "package"), [("api", "packaging"), ("worker", "packaging")])
def test_a_package_that_is_missing_ends_a_process_at_its_start(
    extra: str, package: str, service: Service
) -> None:
    hide = f"import sys, runpy; sys.modules[{package!r}] = None; "
    run = f"sys.argv[1:] = {['--port', '0'] if extra == 'api' else ['--model', 'tiny']}; "
    ran = service.ran(
        extra, "python", "-c", f"{hide}{run}runpy.run_module({extra!r}, run_name='__main__')"
    )
    assert ran.returncode != 0
    assert package in ran.stderr
