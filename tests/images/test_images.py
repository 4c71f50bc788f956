"""The images hold what they need, no more, and do a job together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from client import Narrator
from client.local.ports import free_port
from client.local.process import Child, stop
from client.local.redis_server import RedisServer
from tests.images.builder import Builder
from tests.support.http_probe import answers
from tests.support.processes import wait_until

USER = 10001
MIB = 2**20


@pytest.fixture(params=["api", "worker"])
def image(request: pytest.FixtureRequest) -> str:
    tag: str = request.getfixturevalue(f"{request.param}_image")
    return tag


def packages(root: Path) -> set[str]:
    """The names of the distributions of Python in an image."""
    return {
        folder.name.partition("-")[0].lower().replace("_", "-")
        for folder in root.glob("usr/**/*.dist-info")
    }


def size(root: Path) -> int:
    """The bytes of all files below a folder."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


def test_the_api_image_has_no_torch(builder: Builder, api_image: str) -> None:
    with builder.files(api_image) as root:
        found = packages(root)
        assert {"fastapi", "qwen-tts-queue"} <= found
        assert not found & {"torch", "transformers", "qwen-tts", "triton"}
        assert not (root / "app" / "worker").exists()


def test_the_workers_image_has_no_cuda(builder: Builder, worker_image: str) -> None:
    with builder.files(worker_image) as root:
        found = packages(root)
        assert {"torch", "transformers", "qwen-tts-queue"} <= found
        assert not [name for name in found if name.startswith(("nvidia", "triton", "cuda"))]
        libraries = {path.name for path in root.glob("usr/**/*.so*")}
        assert "libtorch_cpu.so" in libraries
        cuda = ("libtorch_cuda", "libcudart", "libcublas", "libcudnn", "libnccl")
        assert not [name for name in libraries if name.startswith(cuda)]
        assert not (root / "app" / "api").exists()


def test_the_image_runs_as_its_own_user(builder: Builder, image: str) -> None:
    config = builder.config(image)
    assert config["User"] == str(USER)
    assert config["Healthcheck"]
    with builder.container(image) as container:
        ids = builder.run("run", "--isolation", "chroot", container, "--", "id", "-u").split()
        assert ids == [str(USER)]
        # What it may not do: change the program that it runs.
        wrote = subprocess.run(
            builder.command(
                *("run", "--isolation", "chroot", container, "--"),
                *("sh", "-c", "touch /app/x 2>/dev/null || touch /usr/bin/x"),
            ),
            capture_output=True,
        )
        assert wrote.returncode != 0


def test_the_image_keeps_nothing_of_this_machine(builder: Builder, image: str) -> None:
    with builder.files(image) as root:
        left = root / "etc" / "pip.conf"
        assert not left.exists() or left.stat().st_size == 0
        assert not list(root.glob("var/lib/apt/lists/*_Packages*"))
        assert not (root / "root" / ".cache" / "pip").exists()


def test_its_size_is_told(builder: Builder, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    with builder.files(image) as root:
        base = size_of_base(builder)
        own = size(root) - base
    with capsys.disabled():
        sys.stdout.write(f"\n{image}: {own / MIB:,.0f} MiB on a base of {base / MIB:,.0f} MiB\n")
    assert own < (1.8 * 1024 * MIB if image.endswith("worker") else 500 * MIB)


def size_of_base(builder: Builder) -> int:
    with builder.files("docker.io/library/python:3.11.16-slim-trixie") as root:
        return size(root)


@contextmanager
def started(
    builder: Builder, image: str, log: Path, env: dict[str, str], volumes: dict[Path, str]
) -> Iterator[Child]:
    """A container that runs its image's own command, or what `env` has as COMMAND."""
    command = env.pop("COMMAND").split()
    options = [part for name, value in env.items() for part in ("--env", f"{name}={value}")]
    for here, there in volumes.items():
        here.mkdir(exist_ok=True)
        here.chmod(0o777)
        options += ["--volume", f"{here}:{there}"]
    with builder.container(image) as container:
        argv = builder.command("run", "--isolation", "chroot", *options, container, "--", *command)
        child = Child(image, list(argv), log=log)
        try:
            yield child
        finally:
            stop([child], 60)


def test_a_job_is_done_by_the_two_images(
    builder: Builder, api_image: str, worker_image: str, tmp_path: Path
) -> None:
    port = free_port()
    results, models = tmp_path / "results", tmp_path / "models"
    with ExitStack() as running:
        redis = running.enter_context(RedisServer(tmp_path / "redis"))
        env = {"TTS_REDIS_URL": redis.url, "TTS_AUTH": "open", "TTS_MODEL": "demo"}
        serve = {"COMMAND": f"python -m api --host 127.0.0.1 --port {port}"}
        speak = {"COMMAND": "python -m worker"}
        api = started(builder, api_image, tmp_path / "api.log", env | serve, {results: "/results"})
        volumes = {results: "/results", models: "/models"}
        worker = started(builder, worker_image, tmp_path / "worker.log", env | speak, volumes)
        running.enter_context(api)
        child = running.enter_context(worker)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/readyz"), 120)

        def is_offered() -> bool:
            child.check()
            return bool(httpx.get(f"{url}/v1/models").json()["data"])

        wait_until(is_offered, 300)
        with Narrator(url) as narrator:
            narrator.speak("The lamp was lit.", tmp_path / "lamp.wav", voice="ada")
    assert (tmp_path / "lamp.wav").stat().st_size > 24_000
    owners = {path.stat().st_uid for path in results.rglob("*") if path.is_file()}
    assert owners == {USER}
