"""The loaded models of a worker: budget, order and time slices; none is dropped while it speaks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from shared.models import ModelCard
from shared.speech_model import Task
from tests.support.processes import wait_until
from worker.engine.engine import Engine
from worker.engine.errors import Closed
from worker.engine.request import SynthesisRequest
from worker.model.loading import ModelUnavailable
from worker.model.pool import LOADS_PER_SLICE, MIN_SLICE_S, LoadedModel, ModelPool
from worker.model.size import GIB


class FakeEngine:
    """An engine that only knows if it was closed."""

    def __init__(self) -> None:
        self.is_alive = True
        self.stalled_s = 0.0

    def submit(self, _request: object) -> str:
        return "queued"

    def close(self) -> None:
        self.is_alive = False


class Loader:
    """Loads fake engines, and notes which; each takes `takes_s` seconds of its own clock."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.takes_s = 1.0
        self.loaded: list[str] = []
        self.engines: dict[str, FakeEngine] = {}
        self.broken: set[str] = set()

    def __call__(self, model: str) -> LoadedModel:
        if model in self.broken:
            raise ModelUnavailable("it is gone")
        self.now_s += self.takes_s
        self.loaded.append(model)
        self.engines[model] = FakeEngine()
        card = ModelCard(
            id=model, task=Task.CUSTOM_VOICE, size="s", voices=(), languages=(), instructions=False
        )
        return LoadedModel(card, cast(Engine, self.engines[model]))


MakePool = Callable[..., ModelPool]


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def freed() -> list[int]:
    """An entry for each time that memory was given back."""
    return []


@pytest.fixture
def make_pool(loader: Loader, freed: list[int]) -> MakePool:
    def make(budget: float | None = None, **gib: float) -> ModelPool:
        pool = ModelPool(
            {model: int(size * GIB) for model, size in gib.items()},
            loader,
            budget_bytes=None if budget is None else budget * GIB,
            clock=lambda: loader.now_s,
            free_memory=lambda: freed.append(1),
        )
        pool.load_each()
        loader.loaded.clear()
        freed.clear()
        return pool

    return make


def test_without_a_budget_all_stay_loaded(make_pool: MakePool) -> None:
    pool = make_pool(a=100, b=100)
    assert pool.fits_whole
    assert pool.loaded == ["a", "b"]
    assert pool.change({"a": 5, "b": 5}) is None


def test_a_model_that_does_not_fit_alone_is_named_with_its_size(make_pool: MakePool) -> None:
    with pytest.raises(ModelUnavailable, match=r"^b takes 4\.50 GiB, .*TTS_MODEL_MEMORY is 4 GiB"):
        make_pool(4, a=1, b=4.5)


def test_at_the_start_each_is_loaded_once_and_the_first_ones_stay(loader: Loader) -> None:
    pool = ModelPool({"a": 1, "b": 1, "c": 1}, loader, budget_bytes=2)
    assert [card.id for card in pool.load_each()] == ["a", "b", "c"]
    assert sorted(loader.loaded) == ["a", "b", "c"]
    assert pool.loaded == ["a", "b"]


def test_nothing_is_dropped_while_nothing_else_is_needed(
    make_pool: MakePool, loader: Loader
) -> None:
    pool = make_pool(1, a=1, b=1)
    loader.now_s += 1_000
    assert pool.change({"a": 0, "b": 0}) is None
    assert pool.change({"a": 3, "b": 0}) is None
    assert pool.loaded == ["a"]


def test_an_idle_model_leaves_at_once(
    make_pool: MakePool, loader: Loader, freed: list[int]
) -> None:
    pool = make_pool(1, a=1, b=1)
    before = loader.engines["a"]
    assert pool.change({"a": 0, "b": 1}) == "b"
    assert pool.loaded == ["b"]
    assert not before.is_alive
    assert freed == [1]


def test_a_model_is_dropped_only_if_the_other_does_not_fit(make_pool: MakePool) -> None:
    pool = make_pool(3, a=2, b=1, c=2)
    assert pool.loaded == ["a", "b"]
    assert pool.change({"c": 1}) == "c"
    assert pool.loaded == ["b", "c"]


def test_the_least_recently_used_one_leaves(make_pool: MakePool, loader: Loader) -> None:
    pool = make_pool(2, a=1, b=1, c=1)
    loader.now_s += 1
    with pool.hold("b"):
        pass
    loader.now_s += 1
    with pool.hold("a"):
        pass
    assert pool.change({"c": 1}) == "c"
    assert pool.loaded == ["a", "c"]


def test_a_model_with_work_keeps_its_place_for_its_time_slice(
    make_pool: MakePool, loader: Loader
) -> None:
    pool = make_pool(1, a=1, b=1)
    assert pool.change({"a": 9, "b": 9}) is None
    loader.now_s += MIN_SLICE_S - 1
    assert pool.change({"a": 9, "b": 9}) is None
    loader.now_s += 1
    assert pool.change({"a": 9, "b": 9}) == "b"


def test_a_time_slice_is_several_times_as_long_as_its_loading(
    make_pool: MakePool, loader: Loader
) -> None:
    loader.takes_s = 20.0
    pool = make_pool(1, a=1, b=1)
    loader.now_s += LOADS_PER_SLICE * 20 - 1
    assert pool.change({"a": 9, "b": 9}) is None
    loader.now_s += 1
    assert pool.change({"a": 9, "b": 9}) == "b"


def test_all_models_with_work_have_their_time_slices(make_pool: MakePool, loader: Loader) -> None:
    pool = make_pool(2, a=1, b=1, c=1, d=2)
    waiting = dict.fromkeys("abcd", 9)
    changes = []
    for _ in range(400):
        loader.now_s += 1
        changes.append(pool.change(waiting))
    counts = {model: changes.count(model) for model in "abcd"}
    assert min(counts.values()) >= 5
    assert max(counts.values()) <= 2 * min(counts.values())
    assert len(loader.loaded) <= 400 / MIN_SLICE_S * 2


def test_what_is_spoken_ends_before_its_model_is_dropped(
    make_pool: MakePool, loader: Loader
) -> None:
    pool = make_pool(1, a=1, b=1)
    first = loader.engines["a"]
    loader.now_s += 1_000
    with pool.hold("a") as held:
        changing = threading.Thread(target=pool.change, args=({"a": 9, "b": 1},))
        changing.start()
        wait_until(lambda: not pool.is_loaded("a"))
        with pool.hold("a") as late:
            assert not late.is_loaded  # nothing more is begun with it
        assert first.is_alive
        assert loader.loaded == []
        assert cast(Any, held.submit(cast(SynthesisRequest, None))) == "queued"
    changing.join(10)
    assert not first.is_alive
    assert pool.loaded == ["b"]
    with pytest.raises(Closed):
        held.submit(cast(SynthesisRequest, None))


def test_a_model_that_is_spoken_with_is_not_idle(make_pool: MakePool) -> None:
    pool = make_pool(1, a=1, b=1)
    with pool.hold("a"):
        assert pool.change({"b": 1}) is None


def test_while_one_is_loaded_the_other_takes_requests(make_pool: MakePool, loader: Loader) -> None:
    pool = make_pool(2, a=1, b=1, c=1)
    loader.now_s += 1
    with pool.hold("b"):
        pass
    loading, goes_on = threading.Event(), threading.Event()

    def load_slowly(model: str) -> LoadedModel:
        loading.set()
        assert goes_on.wait(10)
        return loader(model)

    pool._load_model = load_slowly
    changing = threading.Thread(target=pool.change, args=({"c": 1},))
    changing.start()
    assert loading.wait(10)
    with pool.hold("b") as held, pool.hold("c") as other:
        assert held.is_loaded
        assert not other.is_loaded
    goes_on.set()
    changing.join(10)
    assert pool.loaded == ["b", "c"]


def test_a_model_that_cannot_be_loaded_any_more_ends_the_worker(
    make_pool: MakePool, loader: Loader
) -> None:
    pool = make_pool(1, a=1, b=1)
    assert pool.is_alive
    loader.broken.add("b")
    with pytest.raises(ModelUnavailable):
        pool.change({"b": 1})
    assert not pool.is_alive


def test_an_engine_that_is_dropped_does_not_end_the_worker(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(1, a=1, b=1)
    changing = threading.Thread(target=pool.change, args=({"b": 1},))
    engines = pool._engines

    def begin_to_drop() -> list[Engine]:
        found = engines()
        changing.start()
        changing.join(0.2)
        return found

    monkeypatch.setattr(pool, "_engines", begin_to_drop)
    assert pool.is_alive
    changing.join(10)
    assert pool.loaded == ["b"]


def test_an_engine_that_has_ended_ends_the_worker(make_pool: MakePool, loader: Loader) -> None:
    pool = make_pool(a=1, b=1)
    loader.engines["b"].stalled_s = 3.0
    assert pool.stalled_s == 3.0
    loader.engines["b"].close()
    assert not pool.is_alive
