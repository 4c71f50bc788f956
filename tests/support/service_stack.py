"""The whole service as real processes, with a tiny model for each task: fixtures for a conftest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.local.stack import Stack

MODELS = ("tiny-CustomVoice", "tiny-VoiceDesign", "tiny-Base")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tiny checkpoints are made anew for each run of the tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        # Three models and a test share the cores, and a tiny model gains nothing from threads.
        patch.setenv("TTS_THREADS", "1")
        patch.setenv("TTS_WEBHOOK_TARGETS", "any")
        yield folder


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data = tmp_path_factory.mktemp("stack")
    with Stack(MODELS, data=data, port=0, logs_to_files=True) as stack:
        stack.wait_ready(120)
        yield stack
