"""The whole service as real processes, with a tiny model for each task."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from client import Narrator
from client.local.stack import Stack
from tests.support.otlp_collector import Collector, collecting
from tests.support.service_stack import MODELS, cache_folder
from worker.engine.qwen import Qwen3TTSModel
from worker.model import catalogue
from worker.model.loading import load_model

__all__ = ["cache_folder"]  # a fixture


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    """It sends traces to the collector, and logs as JSON, as containers do."""
    stack = Stack(MODELS, data=tmp_path_factory.mktemp("stack"), port=0, logs_to_files=True)
    # For the start only: processes of other tests of this session log text.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        patch.setenv("TTS_LOG_FORMAT", "json")
        stack.start()
    try:
        stack.wait_ready(120)
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def narrator(stack: Stack) -> Iterator[Narrator]:
    with Narrator(stack.url) as narrator:
        yield narrator


@pytest.fixture(scope="session")
def direct() -> Callable[[str], Qwen3TTSModel]:
    """qwen-tts itself on the same checkpoints, loaded once each in this process."""
    loaded: dict[str, Qwen3TTSModel] = {}

    def load(name: str) -> Qwen3TTSModel:
        if name not in loaded:
            loaded[name] = load_model(catalogue.locate(name), dtype=torch.float32, threads=1)
        return loaded[name]

    return load
