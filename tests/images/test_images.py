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
    root = builder.files(api_image)
    found = packages(root)
    assert {"fastapi", "qwen-tts-queue"} <= found
    assert not found & {"torch", "transformers", "qwen-tts", "triton"}
    assert not (root / "app" / "worker").exists()


def test_the_workers_image_has_no_cuda(builder: Builder, worker_image: str) -> None:
    root = builder.files(worker_image)
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
    run = ("run", "--isolation", "chroot", builder.container(image), "--")
    assert builder.run(*run, "id", "-u").split() == [str(USER)]
    # What it may not do: change the program that it runs.
    change = builder.command(*run, "sh", "-c", "touch /app/x 2>/dev/null || touch /usr/bin/x")
    assert subprocess.run(change, capture_output=True).returncode != 0


def test_the_image_keeps_nothing_of_this_machine(builder: Builder, image: str) -> None:
    root = builder.files(image)
    left = root / "etc" / "pip.conf"
    assert not left.exists() or left.stat().st_size == 0
    assert not list(root.glob("var/lib/apt/lists/*_Packages*"))
    assert not (root / "root" / ".cache" / "pip").exists()


def test_its_size_is_told(builder: Builder, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    base = size(builder.files(builder.base_name))
    own = size(builder.files(image)) - base
    with capsys.disabled():
        sys.stdout.write(f"\n{image}: {own / MIB:,.0f} MiB on a base of {base / MIB:,.0f} MiB\n")
    assert own < (2_600 * MIB if image.endswith("worker") else 500 * MIB)


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
    run = ("run", "--isolation", "chroot", *options, builder.container(image), "--", *command)
    child = Child(image, list(builder.command(*run)), log=log)
    try:
        yield child
    finally:
        stop([child], 60)


def test_a_job_is_done_by_the_two_images(
    builder: Builder, api_image: str, worker_image: str, tmp_path: Path
) -> None:
    port = free_port()
    # Not the images' own volumes, of which buildah gives each container its own.
    volumes = {tmp_path / "results": "/shared"}
    with ExitStack() as running:
        redis = running.enter_context(RedisServer(tmp_path / "redis"))
        env = {"TTS_REDIS_URL": redis.url, "TTS_STORAGE_URL": "file:///shared"}
        env |= {"TTS_AUTH": "open", "TTS_MODEL": "demo"}
        serve = {"COMMAND": f"python -m api --host 127.0.0.1 --port {port}"}
        speak = {"COMMAND": "python -m worker"}
        api = started(builder, api_image, tmp_path / "api.log", env | serve, volumes)
        worker = started(builder, worker_image, tmp_path / "worker.log", env | speak, volumes)
        processes = [running.enter_context(api), running.enter_context(worker)]
        url = f"http://127.0.0.1:{port}"

        def is_offered() -> bool:
            for process in processes:
                process.check()
            return answers(f"{url}/readyz") and bool(httpx.get(f"{url}/v1/models").json()["data"])

        wait_until(is_offered, 300)
        with Narrator(url) as narrator:
            narrator.speak("The lamp was lit.", tmp_path / "lamp.wav", voice="ada")
    assert (tmp_path / "lamp.wav").stat().st_size > 24_000
    owners = {path.stat().st_uid for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert owners == {USER}
