"""`make images-check`: both Dockerfiles built for real, and a job done by what was built."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import base_root
from tests.images.builder import Builder
from tests.support.paths import ROOT

# The base is kept there from run to run, and nothing else.
FOLDER = Path(os.environ.get("IMAGES", ROOT / ".images")).resolve()


def pytest_sessionstart() -> None:
    if problem := base_root.missing():
        pytest.exit(f"The images cannot be built here: {problem}", returncode=1)


@pytest.fixture(scope="session")
def builder() -> Iterator[Builder]:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    base = base_root.make(FOLDER)
    for name in ("store", "run"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    yield Builder(FOLDER, base, os.environ.get("TORCH_INDEX"))
    for name in ("store", "run"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)


@pytest.fixture(scope="session")
def api_image(builder: Builder) -> str:
    builder.build("Dockerfile.api", "qwen-tts-api")
    return "qwen-tts-api"


@pytest.fixture(scope="session")
def worker_image(builder: Builder) -> str:
    builder.build("Dockerfile.worker", "qwen-tts-worker")
    return "qwen-tts-worker"
