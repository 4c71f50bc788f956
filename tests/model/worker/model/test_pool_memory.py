"""Two real models, of which the budget holds one: what is dropped is gone."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.settings import Settings
from shared.speech_model import Task
from worker.engine.precision import Precision
from worker.engine.request import SynthesisRequest
from worker.model.engines import make_pool
from worker.model.loading import ModelUnavailable
from worker.model.pool import ModelPool
from worker.model.size import GIB, weight_bytes

Checkpoint = Callable[[str], Path]


class NoPrompts:
    """A store of prompts that keeps none."""

    def load(self, _voice: str, _name: str) -> bytes | None:
        return None

    def save(self, _voice: str, _name: str, _content: bytes) -> None:
        return None


@pytest.fixture
def settings(tiny_checkpoint: Checkpoint) -> Settings:
    folders = [tiny_checkpoint(kind) for kind in ("custom_voice", "voice_design")]
    largest = max(weight_bytes(folder, Precision.FLOAT32) for folder in folders)
    return Settings(
        model=",".join(map(str, folders)),
        model_memory=1.5 * largest / GIB,
        threads=1,
        slots=2,
        compile=False,
    )


@pytest.fixture
def pool(settings: Settings) -> Iterator[ModelPool]:
    pool = make_pool(settings, NoPrompts())
    pool.load_each()
    yield pool
    pool.close()


def speak(pool: ModelPool, model: str, request: SynthesisRequest) -> int:
    with pool.hold(model) as held:
        return len(held.submit(request).result(60).samples)


def test_nothing_is_left_of_a_dropped_model(pool: ModelPool) -> None:
    assert pool.loaded == ["custom_voice"]
    asked = SynthesisRequest(
        task=Task.CUSTOM_VOICE, text="Hello.", max_frames=3, speaker="vivian", language="auto"
    )
    designed = SynthesisRequest(
        task=Task.VOICE_DESIGN, text="Hello.", max_frames=3, instruct="low", language="auto"
    )
    (engine,) = pool._engines()
    left = [weakref.ref(engine), weakref.ref(engine._runner), weakref.ref(engine._vocoder)]
    del engine
    assert speak(pool, "custom_voice", asked) > 0
    assert pool.change({"voice_design": 1}) == "voice_design"
    assert [each() for each in left] == [None] * 3
    assert speak(pool, "voice_design", designed) > 0
    assert pool.change({"custom_voice": 1}) == "custom_voice"
    assert speak(pool, "custom_voice", asked) > 0


def test_a_model_that_does_not_fit_is_an_error_before_anything_is_loaded(
    settings: Settings,
) -> None:
    with pytest.raises(ModelUnavailable, match=r"^custom_voice takes .* choose a smaller"):
        make_pool(settings.model_copy(update={"model_memory": 0.0001}), NoPrompts())


def test_two_models_cannot_go_by_one_name(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "custom_voice").mkdir()
    models = f"{settings.models[0]},{tmp_path / 'custom_voice'}"
    with pytest.raises(ModelUnavailable, match="would both be served as custom_voice"):
        make_pool(settings.model_copy(update={"model": models}), NoPrompts())
