"""`make clients`: programs that others wrote, against the real service with tiny models."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from client.local.ports import free_port
from client.local.process import Child, stop
from client.local.stack import Stack
from tests.support.chromium import browser
from tests.support.paths import ROOT
from tests.support.processes import wait_until
from tests.support.service_stack import cache_folder, stack

__all__ = ["browser", "cache_folder", "stack"]  # fixtures
# Where `make clients` installs them.
FOLDER = Path(os.environ.get("CLIENTS", ROOT / ".clients")).resolve()
SCRIPTS = Path(__file__).parent / "programs"
# The first start of a program compiles it; two cores have other work, too.
TIMEOUT_S = 240
Start = Callable[..., Child]


@pytest.fixture(scope="session")
def page_origin() -> str:
    """The origin of a page that is not the server's own, and that the server knows."""
    return f"http://localhost:{free_port()}"


@pytest.fixture(scope="session", autouse=True)
def settings(page_origin: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTS_CORS_ORIGINS", page_origin)
        yield


def environment_of(stack: Stack, home: Path) -> dict[str, str]:
    """All that a program is told: OpenAI's two variables, and nothing of the tests' own."""
    return {
        "PATH": os.pathsep.join([str(FOLDER / "node" / "bin"), os.environ["PATH"]]),
        "HOME": str(home),
        "OPENAI_BASE_URL": f"{stack.url}/v1",
        "OPENAI_API_KEY": "any",
        # litellm fetches a list of prices from the internet when it is imported.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


class Programs:
    """Runs programs in a folder of the test's own, `folder`."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.folder = folder
        self.env = environment_of(stack, folder)
        (folder / "node_modules").symlink_to(FOLDER / "node_modules")

    def python(self, package: str, script: str, *arguments: str, stdin: str = "") -> Any:
        """Run a script in the environment of a package; returns what it printed as JSON."""
        return self._run(
            FOLDER / package / "bin" / "python", SCRIPTS / script, *arguments, stdin=stdin
        )

    def node(self, script: str, *arguments: str, stdin: str = "") -> Any:
        """Run a script of Node.js; returns what it printed as JSON."""
        # Node.js looks for packages beside the script.
        shutil.copy(SCRIPTS / script, self.folder)
        return self.node_file(Path(script), *arguments, stdin=stdin)

    def node_file(self, file: Path, *arguments: str, stdin: str = "") -> Any:
        """Run a file of the folder with Node.js; returns what it printed as JSON."""
        return self._run(FOLDER / "node" / "bin" / "node", file, *arguments, stdin=stdin)

    def _run(self, *command: str | Path, stdin: str) -> Any:
        ran = self.run(*command, stdin=stdin)
        return json.loads(ran.stdout.splitlines()[-1])

    def run(self, *command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command, which has to succeed."""
        ran = subprocess.run(
            command,
            input=stdin,
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran

    def seconds(self, name: str) -> float:
        """The length of an audio file that a program wrote, decoded to its end."""
        with av.open(str(self.folder / name)) as file:
            return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


@pytest.fixture
def programs(stack: Stack, tmp_path: Path) -> Programs:
    return Programs(stack, tmp_path)


@pytest.fixture
def service(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the server itself, to see what programs asked of it."""
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        yield client


@pytest.fixture
def start(stack: Stack, tmp_path: Path) -> Iterator[Start]:
    """Starts servers; each is waited for until its port is open, and stopped after the test."""
    children: list[Child] = []

    def start(name: str, *command: str | Path, port: int, **env: str) -> Child:
        log = tmp_path / f"{name}.log"
        child = Child(
            name, [*map(str, command)], env=environment_of(stack, tmp_path) | env, log=log
        )
        children.append(child)

        def is_open() -> bool:
            child.check()
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionError:
                return False
            return True

        wait_until(is_open, TIMEOUT_S)
        return child

    yield start
    stop(children, 20)


def newest_jobs(service: httpx.Client, count: int) -> list[dict[str, Any]]:
    """The jobs that were accepted last, the oldest of them first, once they have ended.

    A listener has heard all audio before its job is completed.
    """
    listed = service.get("/v1/jobs", params={"limit": count}).json()["data"]
    waits = {"Prefer": "wait=30"}
    return [service.get(f"/v1/jobs/{job['id']}", headers=waits).json() for job in reversed(listed)]
