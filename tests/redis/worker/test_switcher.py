"""The loaded models change by the segments that wait in the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from shared.jobs import SpeechSpec
from shared.models import ModelCard
from shared.store.ledger import Ledger
from tests.support.plain_segments import plain
from tests.support.processes import wait_until
from tests.support.stub_runner import StubCodec, StubRunner
from worker.engine.engine import Engine
from worker.model import switcher as switcher_module
from worker.model.pool import LoadedModel, ModelPool
from worker.model.switcher import ModelSwitcher


@pytest.fixture
def pool(card: ModelCard) -> Iterator[ModelPool]:
    def load(model: str) -> LoadedModel:
        engine = Engine(StubRunner(), StubCodec(), slots=1, max_waiting=1)
        return LoadedModel(card.model_copy(update={"id": model}), engine)

    pool = ModelPool({card.id: 1, "other": 1}, load, budget_bytes=1)
    pool.load_each()
    yield pool
    pool.close()


def test_the_model_that_something_waits_for_is_loaded(
    pool: ModelPool, ledger: Ledger, spec: SpeechSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switcher_module, "LOOK_INTERVAL_S", 0.02)
    assert ledger.waiting([spec.model, "other"]) == {spec.model: 0, "other": 0}
    assert pool.loaded == [spec.model]
    switcher = ModelSwitcher(pool, ledger, lambda: False)
    switcher.start()
    try:
        ledger.admit("j", spec.model_copy(update={"model": "other"}), plain(["a", "b"]))
        assert ledger.waiting([spec.model, "other"]) == {spec.model: 0, "other": 2}
        wait_until(lambda: pool.loaded == ["other"])
        ledger.admit("k", spec, plain(["a"]))
        ledger.cancel("j")  # or its model would keep its place for 10 seconds
        wait_until(lambda: pool.loaded == [spec.model])
    finally:
        switcher.stop()


def test_a_worker_that_stops_loads_nothing(
    pool: ModelPool, ledger: Ledger, spec: SpeechSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switcher_module, "LOOK_INTERVAL_S", 0.02)
    stopping = threading.Event()
    asked: list[bool] = []

    def is_stopping() -> bool:
        asked.append(stopping.is_set())
        return asked[-1]

    switcher = ModelSwitcher(pool, ledger, is_stopping)
    switcher.start()
    try:
        wait_until(lambda: len(asked) > 1)
        stopping.set()
        wait_until(lambda: asked[-1])
        ledger.admit("j", spec.model_copy(update={"model": "other"}), plain(["a"]))
        time.sleep(0.2)
        assert pool.loaded == [spec.model]
        assert asked.count(True) == 1  # the thread has ended
    finally:
        switcher.stop()
